"""What counts a budget: a bucket that refills, a window that starts over or slides, a pace of growth.

All in exact integers. A meter is asked how long a cost would have to wait, and given what was spent.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Protocol, final

from ..clock import MINUTE
from ..scenario import Ramp
from .model import BucketState

_WHOLE_PERCENT: Final = 100


class Meter(Protocol):
    """One budget of one scope value."""

    def wait(self, cost: int, now: int) -> int:
        """Nanoseconds until a request of that cost would pass, 0 if it passes at once."""

    def spend(self, cost: int, now: int) -> None:
        """Take the cost of a request that has just been found to pass."""

    def count_refused(self, cost: int, now: int) -> None:
        """Take the cost of a request that is refused, as far as the budget has it."""

    def refund(self, amount: int, at: int) -> None:
        """Give back what a request that was let in at the instant `at` has not used."""

    def state(self, now: int) -> BucketState | None:
        """What a header says of it; `None` when no header does."""

    def idle(self, now: int) -> bool:
        """Whether a fresh meter would be the same."""


@final
class Bucket:
    """A token bucket: what it holds is counted in units times nanoseconds per period."""

    __slots__ = ("_at", "_capacity", "_level", "_limit", "_period")

    def __init__(self, limit: int, burst: int, now: int, *, period: int = MINUTE) -> None:
        self._limit = limit
        self._period = period
        self._capacity = max(period, limit * burst)
        self._level = self._capacity
        self._at = now

    def wait(self, cost: int, now: int) -> int:
        """One dearer than the burst needs it full."""
        self._refill(now)
        short = min(cost * self._period, self._capacity) - self._level
        return max(0, _divided_up(short, self._limit))

    def spend(self, cost: int, _now: int) -> None:
        self._level -= cost * self._period

    def count_refused(self, cost: int, now: int) -> None:
        """An empty bucket stays empty: what has come in since is gone."""
        self._refill(now)
        self._level = min(self._level, max(0, self._level - cost * self._period))

    def refund(self, amount: int, _at: int) -> None:
        self._level = min(self._capacity, self._level + amount * self._period)

    def state(self, now: int) -> BucketState:
        self._refill(now)
        full_in = _divided_up(self._capacity - self._level, self._limit)
        return BucketState(self._limit, max(0, self._level // self._period), full_in, self._period)

    def idle(self, now: int) -> bool:
        self._refill(now)
        return self._level == self._capacity

    def _refill(self, now: int) -> None:
        if now > self._at:
            self._level = min(self._capacity, self._level + self._limit * (now - self._at))
            self._at = now


@final
class Calendar:
    """A budget that is whole again when a minute, an hour, a day, … of the provider's clock begins.

    `shift` is added to an instant to count the periods.
    """

    __slots__ = ("_limit", "_number", "_period", "_shift", "_used")

    def __init__(self, limit: int, period: int, shift: int, now: int) -> None:
        self._limit = limit
        self._period = period
        self._shift = shift
        self._number = (now + shift) // period
        self._used = 0

    def wait(self, cost: int, now: int) -> int:
        self._turn(now)
        return self._rest(now) if self._used + cost > self._limit else 0

    def spend(self, cost: int, _now: int) -> None:
        self._used += cost

    def count_refused(self, cost: int, now: int) -> None:
        self._turn(now)
        self._used = max(self._used, min(self._limit, self._used + cost))

    def refund(self, amount: int, at: int) -> None:
        """What was reserved in an earlier period does not count for this one."""
        if (at + self._shift) // self._period == self._number:
            self._used -= amount

    def state(self, now: int) -> BucketState:
        self._turn(now)
        reset = self._rest(now) if self._used else 0
        return BucketState(self._limit, self._limit - self._used, reset, self._period)

    def idle(self, now: int) -> bool:
        self._turn(now)
        return not self._used

    def _rest(self, now: int) -> int:
        return self._period - (now + self._shift) % self._period

    def _turn(self, now: int) -> None:
        number = (now + self._shift) // self._period
        if number != self._number:
            self._number, self._used = number, 0


@final
class Sliding:
    """A budget for any stretch of a length: what was spent counts until so much time has passed."""

    __slots__ = ("_limit", "_period", "_spent", "_used")

    def __init__(self, limit: int, period: int) -> None:
        self._limit = limit
        self._period = period
        # By instant, the oldest first.
        self._spent: OrderedDict[int, int] = OrderedDict()
        self._used = 0

    def wait(self, cost: int, now: int) -> int:
        """Until enough of the oldest is out of the window."""
        self._slide(now)
        over, free = self._used + cost - self._limit, now
        for at, spent in self._spent.items():
            if over <= 0:
                break
            over, free = over - spent, at + self._period
        return free - now

    def spend(self, cost: int, now: int) -> None:
        if cost:
            self._spent[now] = self._spent.get(now, 0) + cost
            self._used += cost

    def count_refused(self, cost: int, now: int) -> None:
        """All count, also beyond the limit: a client that does not stop is never let in."""
        self._slide(now)
        self.spend(cost, now)

    def refund(self, amount: int, at: int) -> None:
        spent = self._spent.get(at, 0)
        if spent > amount:
            self._spent[at] = spent - amount
        elif spent:
            del self._spent[at]
        self._used -= min(amount, spent)

    def state(self, now: int) -> BucketState:
        self._slide(now)
        return BucketState(self._limit, max(0, self._limit - self._used), self._whole_in(now), self._period)

    def idle(self, now: int) -> bool:
        self._slide(now)
        return not self._used

    def _whole_in(self, now: int) -> int:
        """Until the newest is out of the window."""
        return next(reversed(self._spent)) + self._period - now if self._used else 0

    def _slide(self, now: int) -> None:
        while self._spent and (oldest := next(iter(self._spent))) + self._period <= now:
            self._used -= self._spent.pop(oldest)


@final
class Growth:
    """At most so many percent more in a window than in the one before; `free` passes in any case."""

    __slots__ = ("_before", "_count", "_free", "_number", "_ramp")

    def __init__(self, free: int, ramp: Ramp, now: int) -> None:
        self._free = free
        self._ramp = ramp
        self._number = now // ramp.window
        self._count = 0
        self._before = 0

    def wait(self, cost: int, now: int) -> int:
        """The first of a window always passes, however dear."""
        self._turn(now)
        grown = self._before * (_WHOLE_PERCENT + self._ramp.growth_percent) // _WHOLE_PERCENT
        if not self._count or self._count + cost <= max(self._free, grown):
            return 0
        return self._ramp.window - now % self._ramp.window

    def spend(self, cost: int, _now: int) -> None:
        self._count += cost

    def count_refused(self, _cost: int, _now: int) -> None:
        """What is refused is no growth."""

    def refund(self, _amount: int, _at: int) -> None:
        """What was asked for has grown, used or not."""

    def state(self, _now: int) -> None:
        return None

    def idle(self, now: int) -> bool:
        self._turn(now)
        return not (self._count or self._before)

    def _turn(self, now: int) -> None:
        number = now // self._ramp.window
        if number != self._number:
            self._before = self._count if number == self._number + 1 else 0
            self._number, self._count = number, 0


def _divided_up(amount: int, by: int) -> int:
    return -(-amount // by)
