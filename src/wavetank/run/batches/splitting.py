"""Puts rows into batches that the provider takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True)
class LineSize:
    """A row, and what its line weighs: bytes, and tokens of its prompt as estimated."""

    id: str
    bytes: int
    tokens: int


@final
@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a batch may have; `None` is no bound."""

    lines: int
    bytes: int
    tokens: int | None


def split(lines: Iterable[LineSize], bounds: Bounds) -> list[tuple[str, ...]]:
    """The ids of the rows in as few batches as their order allows.

    A row that is too large for any batch is alone in one.

    >>> split([LineSize("a", 6, 1), LineSize("b", 6, 1), LineSize("c", 3, 1)], Bounds(10, 10, None))
    [('a',), ('b', 'c')]
    """
    batches: list[tuple[str, ...]] = []
    ids: list[str] = []
    size = tokens = 0
    for line in lines:
        fits = len(ids) < bounds.lines and size + line.bytes <= bounds.bytes
        if ids and not (fits and (bounds.tokens is None or tokens + line.tokens <= bounds.tokens)):
            batches.append(tuple(ids))
            ids, size, tokens = [], 0, 0
        ids.append(line.id)
        size += line.bytes
        tokens += line.tokens
    return [*batches, tuple(ids)] if ids else batches
