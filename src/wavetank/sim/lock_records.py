"""Who acquired a lock or semaphore, when and where, as long as it is not released.

Neither asyncio's locks nor any semaphore knows its holder. Only texts and numbers are kept here: a
reference to a lock or task would change what the garbage collector says of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from ..clock import format_duration
from .origin import Place


@final
class Holding(NamedTuple):
    """`who` has acquired something at the instant `at`, at this place in the program.

    `borrower` is the identity of what it was acquired on behalf of, 0 for the task itself.
    """

    who: str
    at: int
    place: Place | None
    borrower: int = 0

    def describe(self) -> str:
        """`'b' since 1s, acquired at app/gate.py:10`."""
        where = "" if self.place is None else f", acquired at {self.place[0]}:{self.place[1]}"
        return f"{self.who!r} since {format_duration(self.at)}{where}"


_held: Final[dict[int, list[Holding]]] = {}
"""By the identity of what is held; in one run at a time."""


def forget() -> None:
    """Another run begins."""
    _held.clear()


def acquired(thing: object, holding: Holding) -> None:
    """Somebody has acquired a lock or a slot."""
    _held.setdefault(id(thing), []).append(holding)


def released(thing: object, who: str, borrower: int = 0) -> None:
    """Somebody has given a lock or a slot back: its own, if it has one, else the one held longest."""
    held = _held.get(id(thing))
    if held:
        own = next((each for each in reversed(held) if _is_of(each, who, borrower)), held[0])
        held.remove(own)


def _is_of(holding: Holding, who: str, borrower: int) -> bool:
    return holding.borrower == borrower if borrower else holding.who == who


def forget_one(thing: object) -> None:
    """A lock is free, no matter who had it."""
    _held.pop(id(thing), None)


def holders_of(thing: object) -> list[Holding]:
    """Who holds it, the longest first; empty if that is not known."""
    return _held.get(id(thing), [])
