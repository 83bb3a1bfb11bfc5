"""What became of a request that failed, in the terms in which it is decided what to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, final

from .limits import RateInfo

FailureKind = Literal["rate-limited", "transient", "terminal"]


@final
@dataclass(frozen=True, slots=True)
class Failure:
    """A failed request: its kind, why it is of that kind, and the wait it asked for, in seconds.

    `rate-limited` is mended by waiting, `transient` perhaps by another try, `terminal` by neither.
    `info` is what its headers tell of the limits. `closes` says that it speaks for every
    request of its scope, as a spent quota does. `counts` says that it is one of the
    `max_attempts` errors that an item may meet; who raises one that is not bounds it itself.
    `source` says where it was read, such as `stderr, exit code 1`. `resets` is the instant at
    which a limit resets, in the zone in which it was written, where it was written as one.
    """

    kind: FailureKind
    error: BaseException
    reason: str
    retry_after_seconds: float | None = None
    info: RateInfo | None = None
    closes: bool = False
    counts: bool = True
    source: str | None = None
    resets: datetime | None = field(default=None, compare=False, repr=False)

    @property
    def pauses(self) -> bool:
        """Whether everybody should wait: a rate limit, or any retryable error that states a wait."""
        return self.kind == "rate-limited" or (
            self.kind == "transient" and self.retry_after_seconds is not None
        )
