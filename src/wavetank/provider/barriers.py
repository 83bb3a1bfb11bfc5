"""Barrier waves: they hold requests until enough are held, and refuse them all in one instant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from .picks import Picks
from .request import Request
from .waves import Script


@final
class Barrier:
    """One barrier wave and the requests it holds."""

    __slots__ = ("_firings_left", "_held", "_size", "script")

    def __init__(self, script: Script, size: int) -> None:
        self.script = script
        self._size = size
        self._firings_left = script.wave.times or 1
        self._held: dict[int, int] = {}

    def takes(self, request: Request, nth: int, picks: Picks) -> bool:
        """Whether it holds a request that arrives."""
        return self._firings_left > 0 and self.script.meets(request, nth, picks)

    def hold(self, request_id: int, now: int) -> bool:
        """Hold a request; True when the barrier is full with it."""
        self._held[request_id] = now
        return len(self._held) >= self._size

    def drop(self, request_id: int) -> None:
        """Forget a request that left."""
        self._held.pop(request_id, None)

    def fire(self) -> list[int]:
        """Let the held requests go to be refused; in order of arrival."""
        self._firings_left -= 1
        return self.release()

    def release(self) -> list[int]:
        """Let the held requests go to be served; in order of arrival."""
        held = list(self._held)
        self._held.clear()
        return held

    @property
    def deadline(self) -> int | None:
        """When its `patience` ends, counted from the first request still held."""
        first = next(iter(self._held.values()), None)
        return None if first is None else first + self.script.wave.patience

    @property
    def holding(self) -> int:
        return len(self._held)


def earliest(barriers: Iterable[Barrier]) -> tuple[int, Barrier] | None:
    """The barrier whose `patience` ends first, the first in file order among equals, and when."""
    waiting = [(deadline, barrier) for barrier in barriers if (deadline := barrier.deadline) is not None]
    return min(waiting, key=lambda pair: pair[0], default=None)
