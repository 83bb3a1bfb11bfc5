"""How often and how long one item may be tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from .counting import counted, times
from .errors.request_failure import Failure

BACKOFF_SECONDS: Final = 0.5
BACKOFF_CAP_SECONDS: Final = 8.0
"""The backoff of the OpenAI and Anthropic clients: from 0.5 s, doubled up to 8 s."""
_MAX_DOUBLINGS: Final = 16
"""Keeps the power small; the cap is reached after four doublings."""


@final
@dataclass(frozen=True, slots=True)
class RetryLimits:
    """The limits of every item: for rate limits, and for all other errors."""

    max_attempts: int
    max_rate_limit_retries: int
    max_rate_limit_seconds: float
    max_validation_retries: int = 2

    def check(self) -> None:
        """Refuse limits that are too small.

        Raises:
            ValueError: a value is too small or not a number.
        """
        _at_least("max_attempts", self.max_attempts, 1)
        _at_least("max_rate_limit_retries", self.max_rate_limit_retries, 0)
        _at_least("max_rate_limit_seconds", self.max_rate_limit_seconds, 0)
        _at_least("max_validation_retries", self.max_validation_retries, 0)


@final
@dataclass(slots=True)
class RetryBudget:
    """Counts the requests, errors and refusals of one item, from its first request to its last."""

    limits: RetryLimits
    attempts: int = 0
    errors: int = 0
    refusals: int = 0
    refused_since: float | None = None
    invalid: int = 0

    def renewed(self) -> RetryBudget:
        """A new budget for another provider; the requests are counted further."""
        return RetryBudget(self.limits, self.attempts)

    def spend_invalid(self, why: str) -> str | None:
        """Count an answer that is not valid; return why the item has failed, or `None` to try again."""
        self.invalid += 1
        over = self.invalid > self.limits.max_validation_retries
        return f"{counted(self.invalid, 'invalid answer')}, last: {why}" if over else None

    def spend(self, failure: Failure, now: float) -> str | None:
        """Count a failure; return why the item has failed, or `None` if it may be tried again."""
        if failure.kind == "terminal":
            return failure.reason
        if failure.kind == "rate-limited":
            return self._refusal(failure, now)
        if not failure.counts:
            return None
        self.errors += 1
        return self._over(failure, self.errors >= self.limits.max_attempts, counted(self.errors, "error"))

    def restore(self, before: tuple[int, int, float | None]) -> None:
        """Set errors, refusals and the instant of the first refusal back to earlier values."""
        self.errors, self.refusals, self.refused_since = before

    def backoff_seconds(self, failure: Failure) -> float:
        """How long this item waits before its next request.

        It is 0 after an answer that is not valid, and where a pause of the gate decides.
        """
        if failure.pauses or failure.kind == "terminal":
            return 0.0
        doublings = min(max(self.errors - 1, 0), _MAX_DOUBLINGS)
        return min(BACKOFF_SECONDS * 2.0**doublings, BACKOFF_CAP_SECONDS)

    def _refusal(self, failure: Failure, now: float) -> str | None:
        if failure.closes:
            # The wait for a spent quota has no limit; the time of refusals counts from its end.
            self.refused_since = None
        elif self.refused_since is None:
            self.refused_since = now
        self.refusals += 1
        lasted = 0.0 if self.refused_since is None else now - self.refused_since
        over = self.refusals > self.limits.max_rate_limit_retries
        over |= lasted > self.limits.max_rate_limit_seconds
        return self._over(failure, over, f"rate limited {times(self.refusals)} in {lasted:g} s")

    def _over(self, failure: Failure, over: bool, summary: str) -> str | None:
        return f"{summary}, last: {failure.reason}" if over else None


def _at_least(name: str, value: float, least: int) -> None:
    """Raise `ValueError` for a value that is too small or not a number."""
    if not value >= least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")
