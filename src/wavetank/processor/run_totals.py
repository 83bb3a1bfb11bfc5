"""The totals of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from .items import TokenUsage


@final
@dataclass(slots=True)
class RunTotals:
    """The totals of a run so far.

    `first_result` is when the first outcome came from the provider, in seconds from the start.
    """

    requests: int = 0
    refusals: int = 0
    retries: int = 0
    recoveries: int = 0
    answers: int = 0
    succeeded: int = 0
    failed: int = 0
    first_result: float | None = None
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost: float = 0.0

    def summary(self, seconds: float) -> str:
        """The totals in one line, for a run that took so many seconds.

        >>> RunTotals(requests=5, succeeded=4, first_result=0.5).summary(2.0).split("; ")[1]
        'requests: 5, 0 refused, 0 retries, 0.400 s per request'
        """
        mean = seconds / self.requests if self.requests else 0.0
        parts = [
            f"ended after {seconds:.3f} s: {self.succeeded} succeeded, {self.failed} failed",
            f"requests: {self.requests}, {self.refusals} refused, {self.retries} retries, "
            f"{mean:.3f} s per request",
        ]
        if self.first_result is not None:
            parts.append(f"first result after {self.first_result:.3f} s")
        if self.usage.total:
            parts.append(f"tokens: {self.usage.input_tokens} in, {self.usage.output_tokens} out")
        if self.cost:
            parts.append(f"cost: {self.cost:g}")
        return "; ".join(parts)
