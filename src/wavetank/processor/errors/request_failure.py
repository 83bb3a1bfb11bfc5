"""A failed request, in the terms that decide what to do about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, final

from ..limits import RateInfo
from .reset_times import RESETS, moment, short_clock_text

SHOWN_FROM_SECONDS = 60.0
"""Reports show times to the minute, so the end of a shorter wait would add nothing."""

LONGEST_WORDS = 300
"""Four lines of a terminal: enough for the message of any provider."""

FailureKind = Literal["rate-limited", "transient", "terminal"]


@final
@dataclass(frozen=True, slots=True)
class Failure:
    """A failed request: its kind, the reason for the kind, and the wait it asked for, in seconds.

    A `rate-limited` request succeeds after a wait, a `transient` one perhaps at another try, a
    `terminal` one never. `info` has the limits that its headers state. `closes` says that it
    holds for every request of its scope, as a spent quota does. `counts` says that it is one
    of the `max_attempts` errors that an item may have; code that raises a failure that does
    not count has to bound it itself. `source` says where it was read, such as
    `stderr, exit code 1`. `resets` is the instant at which the limit resets, in the time zone
    in which it was written, if it was written as an instant. `worker_died` says that the
    process or pool that had the request is gone. `unreachable` says that no connection was
    made, so the request cannot be the reason. `overloaded` says that the provider refuses all
    requests for a while, whatever their number. `denied` says that the key, the permission or
    the model is refused, which is likely to hold for every request of its scope. `forbidden`
    says that it is a status 403, which may also be about one prompt.
    """

    kind: FailureKind
    error: BaseException
    reason: str
    retry_after_seconds: float | None = None
    info: RateInfo | None = None
    closes: bool = False
    counts: bool = True
    source: str | None = None
    worker_died: bool = False
    unreachable: bool = False
    overloaded: bool = False
    denied: bool = False
    forbidden: bool = False
    resets: datetime | None = field(default=None, compare=False, repr=False)

    @property
    def pauses(self) -> bool:
        """Whether the whole scope has to wait: a rate limit, or a retryable error that states a wait."""
        return self.kind == "rate-limited" or (
            self.kind == "transient" and self.retry_after_seconds is not None
        )

    @property
    def may_be_outage(self) -> bool:
        """Whether it is an outage of the provider if the requests of other items fail like this, too."""
        return (self.kind == "transient" and self.counts and not self.worker_died) or (
            self.kind == "rate-limited" and self.overloaded
        )

    @property
    def words(self) -> str:
        """The reason and the words of the error, in one line of at most 300 characters."""
        text = " ".join(str(self.error).split())
        text = text if self.reason in text else f"{self.reason}: {text}" if text else self.reason
        return text if len(text) <= LONGEST_WORDS else f"{text[: LONGEST_WORDS - 1]}…"


@final
@dataclass(frozen=True, slots=True)
class LimitMet:
    """The rate limit that made an item fail: its name, when it was met, and when it resets."""

    what: str
    met: datetime
    resets: datetime | None = None

    def __str__(self) -> str:
        """Its time and its name, as in `rate limit, resets 16:00 PST (plan limit)`."""
        seconds = self.met.timestamp()
        if self.resets is None:
            return f"rate limit at {short_clock_text(self.met, seconds)} ({self.what})"
        return f"rate limit, resets {short_clock_text(self.resets, seconds)} ({self.what})"

    @property
    def cause(self) -> str:
        """The same without a time, so that the text is equal for all items."""
        return f"rate limit ({self.what})"

    def later(self, other: LimitMet | None) -> LimitMet:
        """The one of two that lasts longer."""
        if other is None or (self.resets or self.met) >= (other.resets or other.met):
            return self
        return other


def limit_met(failure: Failure, now: float) -> LimitMet | None:
    """The limit behind a refusal at `now`, in seconds since 1970; `None` if it is no rate limit."""
    if failure.kind != "rate-limited":
        return None
    met = datetime.fromtimestamp(now).astimezone()
    resets, wait = failure.resets, failure.retry_after_seconds
    if resets is None and wait is not None and wait >= SHOWN_FROM_SECONDS:
        resets = moment(now + wait, met.tzinfo)
    return LimitMet(failure.reason.partition(RESETS)[0], met, resets)
