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

    def progress(self, *, seconds: float, under_way: int, workers: int, away: tuple[str, ...]) -> Progress:
        """The totals as a value that does not change any more."""
        return Progress(
            seconds=seconds,
            succeeded=self.succeeded,
            failed=self.failed,
            under_way=under_way,
            workers=workers,
            requests=self.requests,
            refusals=self.refusals,
            retries=self.retries,
            usage=self.usage,
            cost=self.cost,
            away=away,
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What a run has done so far.

    `seconds` is how long it runs, `under_way` how many requests have no answer yet, `workers`
    how many there may be. `usage` and `cost` are those of all answers so far, also of items
    that are not delivered yet. `away` has the scopes whose provider is away now.
    """

    seconds: float = 0.0
    succeeded: int = 0
    failed: int = 0
    under_way: int = 0
    workers: int = 0
    requests: int = 0
    refusals: int = 0
    retries: int = 0
    usage: TokenUsage = field(default_factory=TokenUsage)
    cost: float = 0.0
    away: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line, as in `12 succeeded, 0 failed; 3 of 10 requests under way; 15 sent, 0 refused`."""
        parts = [
            f"{self.succeeded} succeeded, {self.failed} failed",
            f"{self.under_way} of {self.workers} requests under way",
            f"{self.requests} sent, {self.refusals} refused",
        ]
        if self.usage.total:
            parts.append(f"tokens: {self.usage.input_tokens} in, {self.usage.output_tokens} out")
        if self.cost:
            parts.append(f"cost: {self.cost:.4g}")
        parts += [f"outage: {scope}" for scope in self.away]
        return "; ".join(parts)
