"""The longest stretches of a run in which nothing happened, and who waited through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from ..clock import SECOND
from .origin import Place

LEAST: Final = 10 * SECOND
"""A shorter stretch is no riddle: latencies and the first retries are shorter."""

MOST: Final = 3
"""So many stretches are kept. To describe one is slow, and long ones that get longer are rare."""


@final
@dataclass(frozen=True, slots=True)
class Waiting:
    """Tasks or threads that waited at one place for one thing."""

    names: tuple[str, ...]
    what: str
    place: Place | None


@final
@dataclass(slots=True)
class Stretch:
    """From an event to the next, and who waited in between."""

    since: int
    until: int
    waiting: tuple[Waiting, ...]


@final
class Quiet:
    """Is told of each event, and asked before time moves."""

    __slots__ = ("_describe", "_kept", "_open", "_since")

    def __init__(self, describe: Callable[[], tuple[Waiting, ...]]) -> None:
        self._describe = describe
        self._since = 0
        self._open: Stretch | None = None
        self._kept: list[Stretch] = []

    def happened(self, at: int) -> None:
        """Something happened at the instant `at`."""
        if self._open is not None:
            self._open.until = at
            self._open = None
        self._since = at

    def moves_to(self, due: int) -> None:
        """Time is about to move on, and nothing happens before the instant `due`."""
        length = due - self._since
        if self._open is not None:
            self._open.until = due
        elif length >= LEAST and (len(self._kept) < MOST or length > self._shortest()):
            self._kept.sort(key=_length)
            del self._kept[: len(self._kept) - MOST + 1]
            self._open = Stretch(self._since, due, self._describe())
            self._kept.append(self._open)

    def stretches(self) -> tuple[Stretch, ...]:
        """Those kept, in order."""
        return tuple(sorted(self._kept, key=lambda stretch: stretch.since))

    def _shortest(self) -> int:
        return min(map(_length, self._kept))


def _length(stretch: Stretch) -> int:
    return stretch.until - stretch.since
