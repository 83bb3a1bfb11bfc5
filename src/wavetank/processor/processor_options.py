"""The options of a processor."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypedDict, final

from .decisions import Observer
from .errors.classify import ErrorClassifier, classify
from .gate.delays import ExponentialDelay, RateLimitStrategy
from .items import Attempt, ItemResult, ItemStrategy, LLMWorkItem
from .limits import Limits
from .retry_limits import RetryLimits
from .shared.shared_limits import SharedLimits
from .stopping import Bounds
from .store import Sink, Store
from .strategy_lifecycle import as_strategy

OnResult = Callable[[ItemResult[Any]], Awaitable[object] | object]
Scope = Callable[[LLMWorkItem[Any]], Hashable]
Estimate = Callable[[LLMWorkItem[Any]], float]
Prepare = Callable[[LLMWorkItem[Any]], Awaitable[LLMWorkItem[Any]] | LLMWorkItem[Any]]
Validate = Callable[[LLMWorkItem[Any], Any], Awaitable[object] | object]
BeforeAttempt = Callable[[LLMWorkItem[Any], Attempt], Awaitable[LLMWorkItem[Any]] | LLMWorkItem[Any]]
PostProcess = Callable[[LLMWorkItem[Any], Any], Any]


class OptionFields(TypedDict, total=False):
    """The options by name, for type checkers."""

    workers: int
    max_attempts: int
    max_rate_limit_retries: int
    max_rate_limit_seconds: float
    on_result: OnResult | None
    limits: Limits | Mapping[Any, Limits] | None
    shared: str | SharedLimits | None
    delays: RateLimitStrategy | None
    classifier: ErrorClassifier | None
    scope: Scope | None
    estimate_tokens: Estimate | None
    request_seconds: float | None
    bounds: Bounds | None
    on_quota: Literal["fail", "wait"]
    fail_fast: bool
    max_outage_seconds: float
    validate: Validate | None
    max_validation_retries: int
    before_attempt: BeforeAttempt | None
    fallbacks: Sequence[ItemStrategy]
    prepare_item: Prepare | None
    post_process: PostProcess | None
    order: Literal["input", "completed"]
    batch_size: int | None
    observer: Observer | None
    store: Store | None
    sinks: tuple[Sink, ...]


DEFAULT_BATCH_SIZE: Final = 100
"""Enough to keep the usual number of workers busy, and few to hold in memory."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessorOptions:
    """The options of a processor; `ParallelBatchProcessor` says what each means."""

    workers: int = 10
    max_attempts: int = 3
    max_rate_limit_retries: int = 50
    max_rate_limit_seconds: float = 3600.0
    on_result: OnResult | None = None
    limits: Limits | Mapping[Any, Limits] | None = None
    shared: str | SharedLimits | None = None
    delays: RateLimitStrategy | None = None
    classifier: ErrorClassifier | None = None
    scope: Scope | None = None
    estimate_tokens: Estimate | None = None
    request_seconds: float | None = None
    bounds: Bounds | None = None
    on_quota: Literal["fail", "wait"] = "fail"
    fail_fast: bool = False
    max_outage_seconds: float = 600.0
    validate: Validate | None = None
    max_validation_retries: int = 2
    before_attempt: BeforeAttempt | None = None
    fallbacks: Sequence[ItemStrategy] = ()
    prepare_item: Prepare | None = None
    post_process: PostProcess | None = None
    order: Literal["input", "completed"] = "completed"
    batch_size: int | None = None
    observer: Observer | None = None
    store: Store | None = None
    sinks: tuple[Sink, ...] = ()
    limit_changes: tuple[tuple[Hashable, Mapping[str, float | None]], ...] = ()

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, not {self.workers!r}")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {self.batch_size!r}")
        if self.request_seconds is not None and not self.request_seconds > 0:
            raise ValueError(f"request_seconds must be above 0, not {self.request_seconds!r}")
        if not self.max_outage_seconds >= 0:
            raise ValueError(f"max_outage_seconds must be at least 0, not {self.max_outage_seconds!r}")
        if self.order not in ("input", "completed"):
            raise ValueError(f"order must be 'input' or 'completed', not {self.order!r}")
        if self.on_quota not in ("fail", "wait"):
            raise ValueError(f"on_quota must be 'fail' or 'wait', not {self.on_quota!r}")
        if not isinstance(self.shared_limits, SharedLimits | None):
            raise TypeError(f"shared must be an address such as redis://host:6379/0, not {self.shared!r}")
        for strategy in self.fallbacks:
            as_strategy(strategy, of="a fallback")
        self.retry_limits.check()

    def with_batch_size(self, batch_size: int | None) -> ProcessorOptions:
        """The same options, with another `batch_size` if one is given.

        Raises:
            ValueError: it is below 1.
        """
        return self if batch_size is None else replace(self, batch_size=batch_size)

    @property
    def most_at_once(self) -> int:
        """How many items may be under way or held at once."""
        return max(DEFAULT_BATCH_SIZE, self.workers) if self.batch_size is None else self.batch_size

    def changed(self, changes: Mapping[str, Any]) -> ProcessorOptions:
        """The same options, with those changed that are not `None`.

        Raises:
            ValueError: a number is too small.
        """
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def with_limits(self, scope: Hashable, changes: Mapping[str, float | None]) -> ProcessorOptions:
        """The same options, with other limits of a scope, or of all scopes if it is `None`.

        Infinity stands for a limit that is not known.

        Raises:
            ValueError: a number is not above 0.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        known = {name: None if value == math.inf else value for name, value in given.items()}
        Limits(**known)
        return replace(self, limit_changes=(*self.limit_changes, (scope, known))) if known else self

    def limits_of(self, scope: Hashable) -> Limits | None:
        """The known limits of a scope."""
        limits = self.limits.get(scope) if isinstance(self.limits, Mapping) else self.limits
        for changed, changes in self.limit_changes:
            if changed is None or changed == scope:
                limits = replace(limits or Limits(), **changes)
        return limits

    @property
    def shared_limits(self) -> SharedLimits | None:
        """Where the limits are shared with other processes, if they are."""
        return SharedLimits(address=self.shared) if isinstance(self.shared, str) else self.shared

    @property
    def retry_limits(self) -> RetryLimits:
        """How often and how long each item may be tried."""
        return RetryLimits(
            self.max_attempts,
            self.max_rate_limit_retries,
            self.max_rate_limit_seconds,
            self.max_validation_retries,
        )

    @property
    def pause_lengths(self) -> RateLimitStrategy:
        """The strategy for the length of pauses."""
        return self.delays or ExponentialDelay()

    @property
    def error_classifier(self) -> ErrorClassifier:
        """The classifier of errors."""
        return self.classifier or classify
