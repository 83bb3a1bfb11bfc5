"""One pass over a batch: a fixed number of workers, one item each at a time, one gate for all."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar, final

import anyio

from .budget import Budget, Budgets
from .classify import Failure, classify, sole
from .gate import Gate
from .work import BatchResult, CallResult, ItemResult, LLMCallStrategy, LLMWorkItem

T = TypeVar("T")
OnResult = Callable[[ItemResult[Any]], Awaitable[object] | object]

logger: Final = logging.getLogger(__name__)


@final
class WorkerLost(RuntimeError):
    """The error of an item whose worker was cancelled from outside, while the batch went on."""


@final
class Run(Generic[T]):
    """The state of one `process_all`.

    A worker keeps its item through all its attempts, so nothing is put back into the
    queue, and an item that fails ends nobody else's work.
    """

    def __init__(
        self,
        strategy: LLMCallStrategy[T],
        items: Sequence[LLMWorkItem[Any]],
        *,
        limits: Budgets,
        on_result: OnResult | None,
    ) -> None:
        self._strategy = strategy
        self._limits = limits
        self._on_result = on_result
        self._gate = Gate()
        self._queue = deque(enumerate(items))
        self._results: dict[int, ItemResult[T]] = {}
        self._lost: list[int] = []
        self._started = anyio.current_time()
        self._first: float | None = None

    async def work(self, workers: int) -> BatchResult[T]:
        """Process every item and return the outcomes; start new workers if outsiders cancelled them all."""
        while self._queue:
            await self._crew(min(workers, len(self._queue)))
        for index in self._lost:
            await self._tell(self._results[index])
        return self._batch()

    async def _crew(self, size: int) -> None:
        try:
            async with anyio.create_task_group() as group:
                for number in range(size):
                    group.start_soon(self._worker, name=f"wavetank-worker-{number}")
        except BaseExceptionGroup as failures:
            # Only KeyboardInterrupt and its like, no Exception, ends a worker: it is meant for the caller.
            if (failure := sole(failures)) is failures:
                raise
            raise failure from failure.__cause__

    async def _worker(self) -> None:
        while self._queue:
            index, item = self._queue.popleft()
            budget = Budget(self._limits)
            try:
                result = await self._attend(item, budget)
            except anyio.get_cancelled_exc_class():
                self._lose(index, item, budget)
                raise
            self._keep(index, result)
            await self._tell(result)

    async def _attend(self, item: LLMWorkItem[Any], budget: Budget) -> ItemResult[T]:
        while True:
            answer = await self._request(item, budget)
            if isinstance(answer, CallResult):
                return ItemResult(item.id, answer.value, attempts=budget.attempts, usage=answer.usage)
            reason = budget.spend(answer, anyio.current_time())
            if reason is not None:
                return ItemResult(item.id, error=answer.error, attempts=budget.attempts, reason=reason)
            await anyio.sleep(budget.backoff_seconds(answer))

    async def _request(self, item: LLMWorkItem[Any], budget: Budget) -> CallResult[T] | Failure:
        """Send one request; between its end and the gate's hearing of it nothing is awaited."""
        ticket = await self._gate.enter()
        budget.attempts += 1
        try:
            answer = await self._strategy.execute(item)
        except (Exception, asyncio.CancelledError) as error:
            if _cancels_this_task(error):
                raise
            failure = classify(error)
            if failure.pauses:
                self._gate.refused(ticket, failure.retry_after_seconds)
            return failure
        else:
            self._gate.succeeded(ticket)
            return answer if isinstance(answer, CallResult) else CallResult(answer)
        finally:
            self._gate.leave(ticket)

    def _keep(self, index: int, result: ItemResult[T]) -> None:
        if self._first is None:
            self._first = anyio.current_time()
        self._results[index] = result

    def _lose(self, index: int, item: LLMWorkItem[Any], budget: Budget) -> None:
        """Note the outcome that stands if only this worker is cancelled, not the batch."""
        error = WorkerLost(
            f"the worker that held item {item.id!r} was cancelled; add the item to a new batch"
        )
        self._keep(
            index, ItemResult(item.id, error=error, attempts=budget.attempts, reason="worker cancelled")
        )
        self._lost.append(index)

    async def _tell(self, result: ItemResult[T]) -> None:
        """Call `on_result`; what it raises is logged, since the outcome itself is safe in the batch."""
        if self._on_result is None:
            return
        try:
            told = self._on_result(result)
            if inspect.isawaitable(told):
                await told
        except Exception:
            logger.exception("on_result raised for item %r; its result stays in the batch", result.id)

    def _batch(self) -> BatchResult[T]:
        return BatchResult(
            results=tuple(self._results[index] for index in sorted(self._results)),
            seconds=anyio.current_time() - self._started,
            first_result_seconds=None if self._first is None else self._first - self._started,
        )


def _cancels_this_task(error: BaseException) -> bool:
    """Whether a `CancelledError` is meant for this task, not a leak from a task or future the call awaited.

    On asyncio a call that awaits something cancelled raises the same exception; taken
    for a cancellation of the worker, it would end the worker in silence.
    """
    if not isinstance(error, asyncio.CancelledError):
        return False
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        return True
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0
