"""The result of a batch, and its summary in words."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from .counting import counted, times
from .errors.request_failure import LimitMet
from .items import ItemResult, TokenUsage

T_co = TypeVar("T_co", covariant=True)


@final
@dataclass(frozen=True, slots=True)
class BatchResult(Generic[T_co]):
    """The outcome of a batch, its results in the order in which the items were added.

    `seconds` is how long `process_all` took. `first_result_seconds` is when the first outcome
    of a request came, counted from the same start, in whatever order outcomes are handed on.
    It is `None` if there was none: an item that failed before it was sent, or whose outcome
    is from an earlier run, had no request. `requests`, `refusals`, `retries`, `recoveries` and
    `pauses` are counts. `refusals` includes those for a spent quota. `recoveries` are the new
    tries after a worker or pool died, which `retries` does not count. A pause may also come
    from a good answer that states a spent limit, or from an earlier run. `paused_seconds` is
    how much of the batch's time passed in pauses. `stopped` says why the run ended before all
    items had an outcome.
    """

    results: tuple[ItemResult[T_co], ...]
    seconds: float
    first_result_seconds: float | None
    requests: int = 0
    refusals: int = 0
    retries: int = 0
    pauses: int = 0
    paused_seconds: float = 0.0
    stopped: str | None = None
    recoveries: int = 0

    def __str__(self) -> str:
        return self.summary

    @property
    def succeeded(self) -> int:
        """How many items have a value."""
        return len(self.results) - self.failed

    @property
    def failed(self) -> int:
        """How many items have an error."""
        return sum(result.error is not None for result in self.results)

    @property
    def unfinished(self) -> int:
        """How many of the failed items have no outcome, and can be sent later: see `ItemResult`."""
        return sum(result.unfinished for result in self.results)

    @property
    def usage(self) -> TokenUsage:
        """The tokens that the successful calls reported."""
        return sum((result.usage for result in self.results), TokenUsage())

    @property
    def cost(self) -> float:
        """The cost that the successful calls reported."""
        return math.fsum(result.cost for result in self.results)

    @property
    def seconds_per_request(self) -> float:
        """The time of the whole batch divided by its requests; 0 without any."""
        return self.seconds / self.requests if self.requests else 0.0

    def percentile(self, percent: float) -> float:
        """The seconds within which this percentage of the items had an outcome; 0 without items.

        Raises:
            ValueError: `percent` is not from 0 to 100.
        """
        if not 0 <= percent <= 100:
            raise ValueError(f"percent must be from 0 to 100, not {percent!r}")
        times = sorted(result.seconds for result in self.results)
        return times[max(0, math.ceil(len(times) * percent / 100) - 1)] if times else 0.0

    @property
    def failures(self) -> dict[str, int]:
        """How many items failed for each cause, the most frequent first; a rate limit has its time."""
        causes = FailureCounts()
        for result in self.results:
            if result.error is not None:
                causes.add(result.cause or result.reason or type(result.error).__name__, result.limit)
        return causes.most_common()

    @property
    def summary(self) -> str:
        """What happened, in words, one fact a line."""
        lines = [f"{_items(self.succeeded)} of {len(self.results)} succeeded in {self.seconds:.1f} s"]
        lines += [f"{_items(count)} failed: {cause}" for cause, count in self.failures.items()]
        limited = [f"refused {times(self.refusals)}"] if self.refusals else []
        if self.refusals or self.pauses:
            limited.append(f"{counted(self.pauses, 'pause')} of {self.paused_seconds:.1f} s together")
        lines += [", ".join(limited)] if limited else []
        if self.retries:
            lines.append(f"{counted(self.requests, 'request')}, {self.retries} of them retries")
        if self.recoveries:
            lines.append(f"{counted(self.recoveries, 'new try', 'new tries')} after a worker or a pool died")
        if self.usage.total:
            lines.append(f"{self.usage.input_tokens} tokens in, {self.usage.output_tokens} out")
        if self.stopped is not None:
            lines.append(f"stopped early: {self.stopped}")
        return "\n".join(lines)


@final
class FailureCounts:
    """Counts failures by their cause; those of one rate limit are counted together."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._limits: dict[str, LimitMet] = {}

    def add(self, cause: str, limit: LimitMet | None) -> None:
        """Count one failure."""
        self._counts[cause] += 1
        if limit is not None:
            self._limits[cause] = limit.later(self._limits.get(cause))

    def most_common(self) -> dict[str, int]:
        """The number for each cause, the most frequent first; a limit is named with its latest time."""
        return {str(self._limits.get(cause, cause)): count for cause, count in self._counts.most_common()}


def _items(count: int) -> str:
    return counted(count, "item")
