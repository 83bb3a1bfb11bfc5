"""Exhaustive: every schedule with one deviation from FIFO, then with two, and so on up to a bound.

It makes no pauses: there may be one of any length between any two steps, so no number of them is all.
"""

from __future__ import annotations

from collections import deque
from typing import ClassVar, final

from ...text import counted
from ..choices import Deviation, Level, Recorder
from .plan import Plan
from .replay import Replay


@final
class Exhaustive:
    """Enumerates schedules by the number of their deviations, each exactly once."""

    NAME: ClassVar = "exhaustive"

    def __init__(self, *, seed: int, level: Level, bound: int | None = None) -> None:
        self._level = level
        self._bound = bound
        self._made = 0
        self._depth = 0
        self._more = False
        """Whether some schedule deviates more often than the bound allows."""
        self._last: tuple[Deviation, ...] = ()
        self._here: deque[tuple[Deviation, ...]] = deque()
        self._deeper: deque[tuple[Deviation, ...]] = deque()

    def plan(self) -> Plan | None:
        if not self._here:
            if not self._deeper or self._depth == self._bound:
                return None
            self._depth += 1
            self._here, self._deeper = self._deeper, self._here
        self._last = self._here.popleft()
        return Plan(Replay(self._last), self._level, self.NAME)

    def learn(self, record: Recorder) -> None:
        """Note the schedules that deviate once more, behind the last deviation of this one."""
        self._made += 1
        first = self._last[-1].place + 1 if self._last else 0
        places = (place for place in range(first, len(record)) if record.kinds[place] != "pause")
        if self._depth == self._bound:
            self._more = self._more or next(places, None) is not None
            return
        for place in places:
            width = record.widths[place]
            self._deeper.extend((*self._last, Deviation(place, choice, width)) for choice in range(1, width))

    @property
    def proved(self) -> str | None:
        """What is proved once nothing is left, or how far the enumeration has come whole."""
        if not self._here and not self._deeper and not self._more:
            return f"all {self._made} schedules at level {self._level} were run"
        whole = self._depth if not self._here else self._depth - 1
        if whole < 1:
            return None
        deviations = counted(whole, "deviation")
        return f"every schedule with at most {deviations} at level {self._level} was run"
