"""A strategy that runs a plain function in worker processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, TypeVar, final, overload

from ..items import CallResult, LLMCallStrategy, LLMWorkItem
from .call_outcomes import Failed, WorkerDied, WorkError
from .process_pool import ProcessPool

T = TypeVar("T")

MAX_RETRIES: Final = 3
"""One death may be the fault of a neighbour that took all memory; three in a row are the item's own."""


@final
class ProcessStrategy(LLMCallStrategy[T]):
    """Runs a plain function in worker processes, one call for each item.

    A worker that dies costs one attempt of one item. The item is tried on a new worker, at
    most `max_retries` times, so an item that kills every worker fails, and no other one.
    Deaths do not count for the processor's `max_attempts`.

    Args:
        function: is called with the `LLMWorkItem`. It must be a function of a module, because
            a worker finds it by its name.
        max_retries: how often an item may be tried again after its worker died.

    Raises:
        ValueError: `max_retries` is below 0.
    """

    # Without the first, a type checker finds no T for a function that always returns a CallResult.
    @overload
    def __init__(
        self, function: Callable[[LLMWorkItem[Any]], CallResult[T]], *, max_retries: int = ...
    ) -> None: ...
    @overload
    def __init__(self, function: Callable[[LLMWorkItem[Any]], T], *, max_retries: int = ...) -> None: ...
    def __init__(
        self,
        function: Callable[[LLMWorkItem[Any]], T | CallResult[T]],
        *,
        max_retries: int = MAX_RETRIES,
    ) -> None:
        if max_retries < 0:
            raise ValueError(f"max_retries must be at least 0, not {max_retries!r}")
        self._function = function
        self._max_retries = max_retries
        self._deaths: dict[str, int] = {}
        self._pool = ProcessPool()

    def __repr__(self) -> str:
        return f"<ProcessStrategy {self._function!r} on {self._pool}>"

    async def prepare(self) -> None:
        """Open the pool; it starts more workers with the first items.

        Raises:
            MissingMainGuard: the script would start its work again in each worker.
            RuntimeError: the main module cannot be imported in a worker.
        """
        await self._pool.__aenter__()

    async def cleanup(self) -> None:
        """End the workers."""
        await self._pool.aclose()

    async def execute(self, item: LLMWorkItem[Any]) -> T | CallResult[T]:
        """Call the function in a worker.

        Raises:
            WorkError: the call failed, or its workers died too often.
            WorkerDied: its worker died; another try may succeed.
        """
        outcome = await self._pool.run(self._function, replace(item, strategy=None))
        if isinstance(outcome, Failed):
            raise self._error(item, outcome)
        self._deaths.pop(item.id, None)
        return outcome.value

    def _error(self, item: LLMWorkItem[Any], failed: Failed) -> Exception:
        if not failed.died:
            return WorkError(failed)
        deaths = self._deaths[item.id] = self._deaths.get(item.id, 0) + 1
        if deaths <= self._max_retries:
            return WorkerDied(failed.reason)
        del self._deaths[item.id]
        reason = f"{failed.reason}, {deaths} times; it is not tried on another"
        return WorkError(Failed("terminal", reason, died=True))
