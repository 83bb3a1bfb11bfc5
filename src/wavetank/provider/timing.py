"""When each part of an outcome is sent."""

from __future__ import annotations

import math
from typing import final

import msgspec

from ..clock import SECOND
from ..scenario import Fault
from .faults import delay_of


@final
class Timetable(msgspec.Struct, frozen=True, kw_only=True):
    """The instants of the parts of one outcome.

    `start` is the instant of the first token and `pace` the tokens per second after it,
    `None` for at once. `charged` is how many tokens the answer has where that is not the number of its
    parts, and `end` the instant of the last one, whatever the pace.
    A whole outcome has one part, a stream one for its opening, each of its `tokens` and its closing.
    A stream may have `waits` more before them, which keep it
    alive from `begun` on, one in `every` nanoseconds: their indexes are below 0.
    """

    start: int
    tokens: int = 1
    stream: bool = False
    pace: float | None = None
    charged: int | None = None
    end: int | None = None
    fault: Fault | None = None
    begun: int = 0
    waits: int = 0
    every: int = SECOND

    @property
    def count(self) -> int:
        """How many parts there are."""
        return self.tokens + 2 if self.stream else 1

    def at(self, index: int) -> int:
        """When part `index` is sent."""
        if index < 0:
            return self.begun + (self.waits + index + 1) * self.every
        if self.pace is None and self.fault is None and self.end is None:
            return self.start
        token = max(min(max(index - 1, 0), self.tokens - 1) if self.stream else self.tokens - 1, 0)
        if self.end is not None or self.charged is not None:
            return self.start + self._spread(token, index) + self._delay(index)
        spread = 0 if self.pace is None else math.ceil(token * SECOND / self.pace)
        return self.start + spread + self._delay(index)

    def _spread(self, token: int, index: int) -> int:
        """How long after the first token this one is sent, where that is not by the number of tokens."""
        if self.end is not None:
            whole = self.end - self.start
        elif self.pace is not None and self.charged is not None:
            whole = math.ceil(max(self.charged - 1, 0) * SECOND / self.pace)
        else:
            return 0
        if self.tokens > 1:
            return whole * token // (self.tokens - 1)
        return whole if index or not self.stream else 0

    def _delay(self, index: int) -> int:
        return 0 if self.fault is None else delay_of(self.fault, index, self.count)
