"""The bounds of a run, and the errors of items that it did not finish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from .items import ItemResult, TokenUsage


@final
class WorkerLost(RuntimeError):
    """The error of an item whose worker was cancelled from outside, while the batch continued."""


@final
class RunStopped(RuntimeError):
    """The error of an item that was not finished because the run was stopped: a bound, or `fail_fast`."""


@final
class NotSent(RuntimeError):
    """The error of an item that was not sent, or not again, because the quota of its scope is spent."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a run may take at most; a value that is not given is no bound.

    When the time is up, the requests under way are cancelled. When another bound is reached,
    nothing more is sent, and the requests under way are finished, since they are paid for. So
    tokens and cost, which are known only with the answer, may exceed the bound by those.

    An outcome that is there is always stored and delivered completely: to post-processing,
    sinks and callback. Each of them that may hang needs its own time limit.

    Args:
        seconds: how long the run may prepare items and send requests.
        requests: how many requests may be sent.
        tokens: how many tokens the answers may have taken.
        cost: what the answers may have cost, in the currency of `CallResult.cost`.

    Raises:
        ValueError: a number is not above 0.
    """

    seconds: float | None = None
    requests: int | None = None
    tokens: int | None = None
    cost: float | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "requests", "tokens", "cost"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value!r}")

    def reached(self, requests: int, usage: TokenUsage, cost: float) -> str | None:
        """The bound that was reached, in words, or `None`."""
        if self.requests is not None and requests >= self.requests:
            return f"its {self.requests} requests were sent"
        if self.tokens is not None and usage.total >= self.tokens:
            return f"its {self.tokens} tokens were spent"
        if self.cost is not None and cost >= self.cost:
            return f"its cost of {self.cost:g} was reached"
        return None


def unfinished_result(id: str, attempts: int, stopped: str | None) -> ItemResult[Any]:
    """The result of an item that a run did not finish; `stopped` is why the run was stopped, if it was."""
    error: RuntimeError
    if stopped is not None:
        cause = f"not finished, the run was stopped: {stopped}"
        error = RunStopped(f"item {id!r} was {cause}; add it to a new batch")
    else:
        cause = "worker cancelled"
        error = WorkerLost(f"the worker that held item {id!r} was cancelled; add the item to a new batch")
    return ItemResult(id, None, error, attempts, reason=cause, cause=cause, unfinished=True)
