"""Exhaustive: every schedule with one deviation from FIFO, then with two, and so on up to a bound.

It makes no pauses: there may be one of any length between any two steps, so no number of them is all.
"""

from __future__ import annotations

from typing import ClassVar, final

from ...text import counted
from ..choices import Deviation, Level, Recorder
from .plan import Plan
from .replay import Replay


@final
class Exhaustive:
    """Enumerates schedules by the number of their deviations, each exactly once."""

    NAME: ClassVar = "exhaustive"
    SAMPLES: ClassVar = False

    def __init__(self, *, seed: int, level: Level, bound: int | None = None) -> None:
        self._level = level
        self._bound = bound
        self._learnt = 0
        self._more = False
        """Whether some schedule deviates more often than the bound allows."""
        self._known: dict[int, tuple[Deviation, ...]] = {0: ()}
        """The schedules that nothing was learnt from yet, by their numbers, which are without gaps."""
        self._deepest = 0
        """The deviations of the last schedule that was learnt from."""

    def plan(self, number: int) -> Plan | None:
        deviations = self._known.get(number)
        return None if deviations is None else Plan(Replay(deviations), self._level, self.NAME)

    def learn(self, record: Recorder) -> None:
        """Number the schedules that deviate once more, behind the last deviation of this one."""
        made = self._known.pop(self._learnt)
        self._learnt += 1
        self._deepest = len(made)
        first = made[-1].place + 1 if made else 0
        places = (place for place in range(first, len(record)) if record.kinds[place] != "pause")
        if len(made) == self._bound:
            self._more = self._more or next(places, None) is not None
            return
        number = self._learnt + len(self._known)
        for place in places:
            width = record.widths[place]
            for choice in range(1, width):
                self._known[number] = (*made, Deviation(place, choice, width))
                number += 1

    @property
    def proved(self) -> str | None:
        """What is proved once nothing is left, or how far the enumeration has come whole."""
        if not self._known and not self._more:
            return f"all {self._learnt} schedules at level {self._level} were run"
        next_ = self._known.get(self._learnt)
        whole = self._deepest if next_ is None or len(next_) > self._deepest else self._deepest - 1
        if whole < 1:
            return None
        deviations = counted(whole, "deviation")
        return f"every schedule with at most {deviations} at level {self._level} was run"
