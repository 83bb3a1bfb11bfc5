"""Finds an unknown limit: it climbs while requests succeed, and falls when one is refused."""

from __future__ import annotations

from typing import Final, final

# What growth and cuts cost is measured by benchmarks/processor.py: with an unknown limit a batch takes
# 1.5 times the ideal time, and each wave refuses two requests.
GROWTH_PER_SECOND: Final = 0.15
FAST_GROWTH_PER_SECOND: Final = 0.5
FAST_GROWTH_FROM: Final = 3.0
"""How many times its start a limit has to reach without a refusal before it grows fast."""
PLATEAU_SECONDS: Final = 60.0
"""After a confirmed ceiling the limit needs this long to double: most providers count by the minute."""
LONGEST_STEP_SECONDS: Final = 1.0
"""A gap between two successes counts as no more than this, so that a break is no growth."""
NEAR: Final = 0.25
"""Two refusals whose heights differ by no more than this share are at the same ceiling."""
FAR_BELOW: Final = 0.7
"""A refusal below this share of the height of the last one was not caused by the height."""

DEEPEST_CUT: Final = 0.5
"""One refusal cuts at most by half, as TCP does: what it saw may be a burst of other clients."""
SLIGHTEST_CUT: Final = 0.9
"""One refusal cuts at least by a tenth, or the same rate would be refused again."""

SLOT_SECONDS: Final = 0.25
"""The resolution of the count of started requests."""
COUNTED_SECONDS: Final = 3.0
"""How far the measured rate looks back: long enough for slow rates, short enough to follow the climb."""


@final
class Climber:
    """A limit that is searched for: it grows by 15 % a second while it holds requests back.

    If there was no refusal up to three times the start, the service is a fast one, and the
    limit grows by 50 % a second.

    One refusal may have another cause, so after it the limit grows as fast as before. A
    second refusal at about the same height shows the ceiling. From then on the limit grows
    slowly, with the cube of the time as in TCP CUBIC (RFC 9438): 1 % in 13 s, 12 % in 30 s,
    to the double in 60 s.

    Args:
        start: the first value.
        highest: the value never goes above this.
        lowest: the value never falls below this.
    """

    def __init__(self, start: float, *, highest: float = float("inf"), lowest: float = 0.0) -> None:
        self.value = self._start = start
        self.highest = highest
        self._lowest = lowest
        self._failed_at: float | None = None
        self._fell_to = 0.0
        self._at_ceiling = False
        self._since = 0.0
        self._grown_at: float | None = None

    def __repr__(self) -> str:
        return f"<Climber at {self.value:g}{', at a ceiling' if self._at_ceiling else ''}>"

    @property
    def never_refused(self) -> bool:
        """Whether this limit was never cut for a refusal."""
        return self._failed_at is None

    def grow(self, now: float) -> None:
        """Grow after a success at the instant `now`, while this limit held requests back."""
        step = 0.0 if self._grown_at is None else min(now - self._grown_at, LONGEST_STEP_SECONDS)
        self._grown_at = now
        if self._at_ceiling:
            aim = self._fell_to * (1 + ((now - self._since) / PLATEAU_SECONDS) ** 3)
        else:
            fast = self.never_refused and self.value >= FAST_GROWTH_FROM * self._start
            aim = self.value * (1 + (FAST_GROWTH_PER_SECOND if fast else GROWTH_PER_SECOND) * step)
        self.value = min(max(self.value, aim), self.highest)

    def rest(self) -> None:
        """Forget the last success, because of a pause: its time is no time of growth."""
        self._grown_at = None

    def is_near_last_refusal(self, height: float) -> bool:
        """Whether a refusal at this height is at the ceiling that the last refusal showed."""
        failed = self._failed_at
        if failed is None:
            return False
        return (1 - NEAR) * min(self._fell_to, failed) <= height <= (1 + NEAR) * failed

    def is_far_below_last_refusal(self, height: float) -> bool:
        """Whether a refusal at this height is far below the height of the last one."""
        return self._failed_at is not None and height <= FAR_BELOW * self._failed_at

    def restore(self) -> None:
        """Undo the last cut: go back to the height of the last refusal."""
        if self._failed_at is not None:
            self.value = min(self._failed_at, self.highest)
        self._at_ceiling = False
        self._grown_at = None

    def fall(self, height: float, to: float, now: float, *, ceiling: bool) -> None:
        """Fall to the value `to` after a refusal at `height`; with `ceiling`, grow slowly from there."""
        self._failed_at = height
        self.value = self._fell_to = min(max(to, self._lowest), self.highest)
        self._at_ceiling = ceiling
        self._since, self._grown_at = now, None


@final
class StartCounter:
    """Counts the requests that were started in the last seconds."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self.first = float("inf")

    def add(self, now: float) -> None:
        """Count a request that starts now."""
        self.first = min(self.first, now)
        slot = int(now / SLOT_SECONDS)
        if slot in self._slots:
            self._slots[slot] += 1
            return
        self._slots[slot] = 1
        oldest = slot - 4 * COUNTED_SECONDS / SLOT_SECONDS
        for old in [old for old in self._slots if old < oldest]:
            del self._slots[old]

    def per_second(self, since: float, until: float) -> float:
        """The mean rate between two instants, looking back no further than `COUNTED_SECONDS`."""
        if self.first > until:
            return 0.0
        oldest = (int((until - COUNTED_SECONDS) / SLOT_SECONDS) + 1) * SLOT_SECONDS
        since = max(since, oldest, self.first)
        slots = int(since / SLOT_SECONDS), int(until / SLOT_SECONDS)
        started = sum(count for slot, count in self._slots.items() if slots[0] <= slot <= slots[1])
        return started / max(until - since, SLOT_SECONDS)


@final
class LatencyEstimate:
    """How long an answer takes, and how much that varies: the estimator of TCP for round trips (RFC 6298)."""

    __slots__ = ("deviation", "mean", "seen")

    def __init__(self) -> None:
        self.seen = False
        self.mean = 0.0
        self.deviation = 0.0

    def add(self, seconds: float) -> None:
        """Add the time that one answer took."""
        if not self.seen:
            self.seen, self.mean = True, seconds
            return
        error = seconds - self.mean
        self.mean += error / 8
        self.deviation += (abs(error) - self.deviation) / 4

    @property
    def bound(self) -> float:
        """Seconds within which nearly every answer comes: the mean and four deviations."""
        return self.mean + 4 * self.deviation
