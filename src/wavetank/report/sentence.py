"""A sentence on a run, and the parts of sentences that several of them have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from ..text import counted
from .requests import Request


@final
@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, and the instant and the request that it is about, if it is about one."""

    text: str
    at: int | None = None
    request: int | None = None


def for_item(item: str | None) -> str:
    return "" if item is None else f" for {item!r}"


def by_task(request: Request) -> str:
    return "" if request.task is None else f" by {request.task!r}"


def were(count: int, thing: str) -> str:
    return f"{counted(count, thing)} {'was' if count == 1 else 'were'}"
