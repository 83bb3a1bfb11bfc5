"""One cheap call before the work starts, to see whether it is limited, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, final

from .errors.classify import ErrorClassifier, classify
from .errors.request_failure import Failure
from .errors.reset_times import clock_text
from .items import LLMCallStrategy, LLMWorkItem
from .strategy_lifecycle import lease
from .wall_clock import wall_seconds

__all__ = ["PREFLIGHT_ID", "PreFlight", "preflight"]

PREFLIGHT_ID: Final = "preflight"


@final
@dataclass(frozen=True, slots=True)
class PreFlight:
    """The result of the call before the work; `limited_until` is in seconds since 1970."""

    failure: Failure | None = None
    limited_until: float | None = None

    @property
    def clear(self) -> bool:
        """Whether the work may start."""
        return self.failure is None

    def __str__(self) -> str:
        if self.failure is None:
            return "clear: the call was answered"
        until = "" if self.limited_until is None else f" until {_local_clock_text(self.limited_until)}"
        what = "limited" if self.failure.kind == "rate-limited" else "not clear"
        return f"{what}{until}: {self.failure.reason}"


async def preflight(
    strategy: LLMCallStrategy[Any], *, prompt: str = "Say ok.", classifier: ErrorClassifier = classify
) -> PreFlight:
    """Send one request, and say whether the work may start.

    The strategy is prepared before it and cleaned up after it. Inside the `async with` of a
    processor that uses the same strategy, it is prepared once for both, and the processor
    cleans it up. The call has the id `preflight` and is no item of the batch. An error in
    `cleanup` is logged.

    Raises:
        Exception: any error of the strategy's `prepare`.
    """
    held = lease(strategy)
    try:
        await held.prepare()
        return await _send(strategy, prompt, classifier)
    finally:
        await held.leave()


async def _send(strategy: LLMCallStrategy[Any], prompt: str, classifier: ErrorClassifier) -> PreFlight:
    try:
        await strategy.execute(LLMWorkItem(PREFLIGHT_ID, prompt))
    except Exception as error:
        failure = classifier(error)
        wait = failure.retry_after_seconds
        return PreFlight(failure, None if wait is None else wall_seconds() + wait)
    return PreFlight()


def _local_clock_text(instant: float) -> str:
    """An instant in the time zone of this machine."""
    zone = datetime.fromtimestamp(instant).astimezone().tzinfo
    return clock_text(instant, zone or UTC)
