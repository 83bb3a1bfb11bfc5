"""How long answers take."""

from __future__ import annotations

from typing import final


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
