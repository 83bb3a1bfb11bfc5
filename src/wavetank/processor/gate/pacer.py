"""The pacer: when the next request may start so that a rate is kept."""

from __future__ import annotations

from typing import final


@final
class Pacer:
    """Keeps a rate by the generic cell rate algorithm (GCRA): its whole state is one instant.

    That instant is when all that was spent will be earned back. The time until then is the
    debt, and a request may start while the debt is smaller than the burst. There is no timer
    and no waiting here: the methods return instants.

    >>> pacer = Pacer(10, burst=2)
    >>> pacer.spend(1, now=0.0), pacer.ready_at(1)
    (None, 0.0)
    >>> pacer.spend(1, now=0.0), pacer.ready_at(1)
    (None, 0.1)

    Args:
        per_second: how much may be spent in a second, in the long run.
        burst: how much may be spent at one instant if nothing is owed.
    """

    def __init__(self, per_second: float, *, burst: float) -> None:
        self._rate = per_second
        self._burst = burst
        self._paid_at = 0.0
        self._known_from = float("-inf")

    def __repr__(self) -> str:
        return f"<Pacer {self._rate:g}/s, burst {self._burst:g}, paid at {self._paid_at:g}>"

    @property
    def per_second(self) -> float:
        """How much may be spent in a second."""
        return self._rate

    @property
    def burst(self) -> float:
        """How much may be spent at one instant."""
        return self._burst

    def ready_at(self, cost: float) -> float:
        """The instant from which so much may be spent; a cost above the burst needs the whole burst."""
        return self._paid_at - (self._burst - min(cost, self._burst)) / self._rate

    def full(self, now: float) -> bool:
        """Whether nothing is owed, so that the whole burst is available."""
        return self._paid_at <= now

    def spend(self, cost: float, now: float) -> None:
        """Spend so much now."""
        self._paid_at = max(self._paid_at, now) + cost / self._rate

    def correct(self, more: float) -> None:
        """Correct an earlier cost: it was higher by `more`, or lower if that is negative."""
        self._paid_at += more / self._rate

    def at_most(self, left: float, now: float) -> None:
        """Reduce what may be spent at the instant `now` to at most `left`; it may be the end of a pause."""
        self._known_from = max(self._known_from, now)
        short = self._burst - max(0.0, left)
        if short > 0:
            self._paid_at = max(self._paid_at, now + short / self._rate)

    def set_left(self, left: float, now: float) -> None:
        """Set what may be spent at the instant `now`."""
        self._burst = max(self._burst, left)
        self._paid_at = now + (self._burst - max(0.0, left)) / self._rate

    def change(self, per_second: float, burst: float, now: float) -> None:
        """Change the rate and the burst; what may be spent at this instant stays the same.

        During a pause that is the instant of its end: the time until then is no debt.
        """
        at = max(now, self._known_from)
        left = self._burst - max(0.0, self._paid_at - at) * self._rate
        self._rate, self._burst = per_second, burst
        self._paid_at = at + max(0.0, burst - left) / per_second
