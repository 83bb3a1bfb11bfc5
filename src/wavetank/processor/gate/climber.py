"""Limits that nobody told: found by climbing, and by falling when a request is refused."""

from __future__ import annotations

from typing import Final, final

GROWTH_PER_SECOND: Final = 0.15
FAST_GROWTH_PER_SECOND: Final = 0.5
FAST_GROWTH_FROM: Final = 3.0
PLATEAU_SECONDS: Final = 60.0
LONGEST_STEP_SECONDS: Final = 1.0
NEAR: Final = 0.25
FAR_BELOW: Final = 0.7

DEEPEST_CUT: Final = 0.5
SLIGHTEST_CUT: Final = 0.9

SLOT_SECONDS: Final = 0.25
COUNTED_SECONDS: Final = 3.0


@final
class Climber:
    """A limit that is looked for: it climbs by 15 % a second while it holds requests back.

    One that was never refused and has come to three times its start is looked for faster, at
    half as much again a second: that service is a fast one.

    A refusal may come from anywhere, so one alone makes no ceiling: the climb goes on as
    fast as before. The second at about the same height does. From then on the limit leaves
    its new height slowly, by a cube of the time: 1 % in 13 s, 12 % in 30 s, twice in 60 s.

    Args:
        start: the height to begin at.
        highest: where the climb ends.
        lowest: where the fall ends.
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
        """Whether no refusal was ever blamed on this limit."""
        return self._failed_at is None

    def grow(self, now: float) -> None:
        """Note, at the instant `now`, a success while this limit held requests back."""
        step = 0.0 if self._grown_at is None else min(now - self._grown_at, LONGEST_STEP_SECONDS)
        self._grown_at = now
        if self._at_ceiling:
            aim = self._fell_to * (1 + ((now - self._since) / PLATEAU_SECONDS) ** 3)
        else:
            fast = self.never_refused and self.value >= FAST_GROWTH_FROM * self._start
            aim = self.value * (1 + (FAST_GROWTH_PER_SECOND if fast else GROWTH_PER_SECOND) * step)
        self.value = min(max(self.value, aim), self.highest)

    def rest(self) -> None:
        """Note a pause: no time passed in which the limit could have grown."""
        self._grown_at = None

    def is_near_last_refusal(self, height: float) -> bool:
        """Whether a refusal at this height is the second: it is between where the first was and fell to."""
        failed = self._failed_at
        if failed is None:
            return False
        return (1 - NEAR) * min(self._fell_to, failed) <= height <= (1 + NEAR) * failed

    def is_far_below_last_refusal(self, height: float) -> bool:
        """Whether a refusal at this height is well below where the last one was."""
        return self._failed_at is not None and height <= FAR_BELOW * self._failed_at

    def restore(self) -> None:
        """Go back to where the last refusal was."""
        if self._failed_at is not None:
            self.value = min(self._failed_at, self.highest)
        self._at_ceiling = False
        self._grown_at = None

    def fall(self, height: float, to: float, now: float, *, ceiling: bool) -> None:
        """Fall to a height after a refusal at another; with `ceiling`, leave it slowly."""
        self._failed_at = height
        self.value = self._fell_to = min(max(to, self._lowest), self.highest)
        self._at_ceiling = ceiling
        self._since, self._grown_at = now, None


@final
class StartCounter:
    """How many requests were started in the last seconds."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        self.first = float("inf")

    def add(self, now: float) -> None:
        """Note that a request starts."""
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
        """The mean rate between two instants, looking back no further than some seconds."""
        if self.first > until:
            return 0.0
        oldest = (int((until - COUNTED_SECONDS) / SLOT_SECONDS) + 1) * SLOT_SECONDS
        since = max(since, oldest, self.first)
        slots = int(since / SLOT_SECONDS), int(until / SLOT_SECONDS)
        started = sum(count for slot, count in self._slots.items() if slots[0] <= slot <= slots[1])
        return started / max(until - since, SLOT_SECONDS)


@final
class LatencyEstimate:
    """How long an answer takes, and how much that varies; the estimate TCP makes of a round trip."""

    __slots__ = ("deviation", "mean", "seen")

    def __init__(self) -> None:
        self.seen = False
        self.mean = 0.0
        self.deviation = 0.0

    def add(self, seconds: float) -> None:
        """Note one answer."""
        if not self.seen:
            self.seen, self.mean = True, seconds
            return
        off = seconds - self.mean
        self.mean += off / 8
        self.deviation += (abs(off) - self.deviation) / 4

    @property
    def bound(self) -> float:
        """Seconds within which nearly every answer comes."""
        return self.mean + 4 * self.deviation
