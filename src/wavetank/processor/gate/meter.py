"""The meter of one budget, of requests or of tokens: its rate, and what answers state of it."""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple, final

from ..limits import MARGIN, Quota
from .pacer import Pacer
from .sent_requests import MOST_UNSETTLED

WINDOWS: Final = (1.0, 10.0, 60.0, 3600.0, 86400.0)
"""A second, ten seconds, a minute, an hour, a day: the windows that providers count in."""
WINDOW_FACTOR: Final = 2.0
"""What is left is a whole number, so a rate may be computed wrong by so much; windows are six times apart."""
LEAST_FEWER: Final = 2.0
"""So much less must be left than before for a rate: each number may be short by nearly one."""
BUCKET_TOLERANCE: Final = 1.02
"""A bucket is never fuller than its limit, but resets and what is left are rounded."""
RESET_SECONDS: Final = 1.0
"""Resets that are dates have whole seconds."""


class Left(NamedTuple):
    """What may be spent now, as an answer states it: at most so much, or exactly so much."""

    units: float
    exactly: bool


@final
class Meter:
    """Says when a request may start so that one budget is kept; without a rate it may start at once.

    Args:
        per_second: how much may be spent in a second, or `None` if there is no limit.
        burst: how much may be spent at one instant.
    """

    def __init__(self, per_second: float | None = None, burst: float = 1.0) -> None:
        self._pacer = None if per_second is None else Pacer(per_second, burst=burst)
        self._started: deque[float] = deque(maxlen=MOST_UNSETTLED)
        self._last = 0
        self._fullest: Quota | None = None
        self._latest = -1
        self.stated_rate: float | None = None
        """The rate that answers state, in units in a second."""
        self.stated_depth = 1.0
        """How much the bucket has been stated to hold."""
        self._full_at_first = False

    def set_rate(self, per_second: float | None, burst: float, now: float) -> None:
        """Keep this rate from now on, or none; what may be spent at this instant stays the same."""
        pacer = self._pacer
        if per_second is None:
            self._pacer = None
        elif pacer is None:
            self._pacer = Pacer(per_second, burst=burst)
        elif (per_second, burst) != (pacer.per_second, pacer.burst):
            pacer.change(per_second, burst, now)

    def ready_at(self, cost: float) -> float:
        """The instant from which so much may be spent."""
        return -math.inf if self._pacer is None else self._pacer.ready_at(cost)

    def full(self, now: float) -> bool:
        """Whether nothing is owed."""
        return self._pacer is None or self._pacer.full(now)

    def spend(self, number: int, cost: float, now: float) -> None:
        """The request with this number starts."""
        self._started.append(cost)
        self._last = number
        if self._pacer is not None:
            self._pacer.spend(cost, now)

    def correct(self, number: int, cost: float) -> None:
        """A request took so much, and not what was estimated."""
        place = len(self._started) - 1 - (self._last - number)
        if 0 <= place < len(self._started):
            more = cost - self._started[place]
            self._started[place] = cost
            if self._pacer is not None:
                self._pacer.correct(more)

    def fill(self, now: float) -> None:
        """Owe nothing from this instant on."""
        if self._pacer is not None:
            self._pacer.set_left(self._pacer.burst, now)

    def restart(self, left: float, at: float) -> None:
        """Begin after a pause at this instant, when no more than this may be spent at once."""
        if self._pacer is not None:
            self._pacer.at_most(left, at)

    # -- what answers state ----------------------------------------------------------------------

    def learn_rate(self, quota: Quota) -> float | None:
        """The rate of a budget, as this answer and earlier ones state it; `None` if it is not known."""
        if quota.paces:
            assert quota.per_second is not None
            self.stated_rate = quota.per_second * MARGIN
        elif quota.per_second is None and (rate := self._computed_rate(quota)) is not None:
            self.stated_rate = rate * MARGIN
        return self.stated_rate

    @property
    def rate_and_burst(self) -> tuple[float | None, float]:
        """How much may be spent in a second, `None` if there is no limit, and at one instant."""
        return (None, 1.0) if self._pacer is None else (self._pacer.per_second, self._pacer.burst)

    def learn_left(self, quota: Quota, number: int, sent: float, now: float) -> Left | None:
        """Learn what is left, which is stated for the instant when the request with this number was sent.

        Since then others have started, and part of the budget has come back. Return what is left now.
        """
        if quota.remaining is None or self._pacer is None or number < self._latest:
            return None
        self._latest = number
        back = self._pacer.per_second * (now - sent)
        left = quota.remaining - self._spent_after(number) + back
        if self._full_at_first or not self._is_bucket(quota):
            self._pacer.at_most(left, now)
            return Left(left, exactly=False)
        self._full_at_first = True
        self._pacer.set_left(left, now)
        return Left(left, exactly=True)

    def learn_depth(self, quota: Quota, number: int) -> None:
        """Learn how much may be spent at once: of a bucket what is left, and what the request itself took."""
        if quota.remaining is not None and self._is_bucket(quota):
            self.stated_depth = max(self.stated_depth, quota.remaining + self._cost_of(number))
        elif not self._full_at_first and quota.limit is not None:
            self.stated_depth = max(self.stated_depth, quota.limit)

    def _computed_rate(self, quota: Quota) -> float | None:
        """The rate of a bucket that is full again so much sooner if so much more is left, for a usual window.

        One answer alone does not show it: a bucket need not hold the whole limit.
        """
        if not quota.limit or quota.remaining is None or quota.resets_in is None:
            return None
        first = self._fullest
        if first is None or first.remaining is None or quota.remaining > first.remaining:
            self._fullest = quota
            return None
        fewer, later = first.remaining - quota.remaining, quota.resets_in - (first.resets_in or 0.0)
        if fewer < LEAST_FEWER or later <= 0:
            return None
        for window in WINDOWS:
            rate = quota.limit / window
            if rate / WINDOW_FACTOR < fewer / later < rate * WINDOW_FACTOR:
                return rate if _fits_bucket(quota, rate) else None
        return None

    def _is_bucket(self, quota: Quota) -> bool:
        """Whether what was spent comes back evenly, and not all at the end of a fixed window."""
        return self.stated_rate is not None and _fits_bucket(quota, self.stated_rate)

    def _spent_after(self, number: int) -> float:
        later = self._last - number
        if later <= 0:
            return 0.0
        started = self._started
        return math.fsum(started[place] for place in range(-min(later, len(started)), 0))

    def _cost_of(self, number: int) -> float:
        place = len(self._started) - 1 - (self._last - number)
        return self._started[place] if 0 <= place < len(self._started) else 0.0


def _fits_bucket(quota: Quota, per_second: float) -> bool:
    if quota.limit is None or quota.remaining is None or quota.resets_in is None:
        return False
    most = quota.limit * BUCKET_TOLERANCE + per_second * RESET_SECONDS
    return quota.remaining + per_second * quota.resets_in <= most
