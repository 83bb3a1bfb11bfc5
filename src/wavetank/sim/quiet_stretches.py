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
"""So many stretches are kept."""

LONGER: Final = 1.25
"""So many times as long as the shortest of those kept is one that takes its place: to describe a stretch
takes as long as fifty events, and one that is hardly longer says the same again."""


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
    """Looks before time moves on how long ago the last event was; `last_event` says when."""

    __slots__ = ("_describe", "_kept", "_open", "last_event")

    def __init__(self, describe: Callable[[], tuple[Waiting, ...]]) -> None:
        self._describe = describe
        self.last_event: Callable[[], int] = int
        """The instant of the last event. Time moves less often than events happen: so it is asked for."""
        self._open: Stretch | None = None
        self._kept: list[Stretch] = []

    def moves_to(self, due: int) -> None:
        """Time is about to move on, and nothing happens before the instant `due`."""
        last = self.last_event()
        self._close(last)
        length = due - last
        if self._open is not None:
            self._open.until = due
        elif length >= LEAST and (len(self._kept) < MOST or length > LONGER * self._shortest()):
            self._kept.sort(key=_length)
            del self._kept[: len(self._kept) - MOST + 1]
            self._open = Stretch(last, due, self._describe())
            self._kept.append(self._open)

    def stretches(self) -> tuple[Stretch, ...]:
        """Those kept, in order."""
        self._close(self.last_event())
        return tuple(sorted(self._kept, key=lambda stretch: stretch.since))

    def _close(self, last: int) -> None:
        """End the open stretch if an event has come since; time may have moved less far than was due."""
        if self._open is not None and self._open.since != last:
            self._open.until = min(self._open.until, last)
            self._open = None

    def _shortest(self) -> int:
        return min(map(_length, self._kept))


def _length(stretch: Stretch) -> int:
    return stretch.until - stretch.since
