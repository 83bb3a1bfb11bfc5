"""The batch processor: add items, process them all, get every outcome in the order of the items."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Generic, Literal, Protocol, TypeVar, final, overload

import anyio

from .budget import Budgets
from .run import OnResult, Run
from .work import BatchResult, CallResult, LLMCallStrategy, LLMWorkItem

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Call = Callable[[str], Awaitable[T | CallResult[T]]]

CLEANUP_SECONDS: Final = 30.0

logger: Final = logging.getLogger(__name__)


class _Accounting(Protocol[T_co]):
    """A strategy whose every answer says what it cost."""

    async def prepare(self) -> None: ...
    async def execute(self, item: LLMWorkItem[Any]) -> CallResult[T_co]: ...
    async def cleanup(self) -> None: ...


@final
class ParallelBatchProcessor(Generic[T]):
    """Puts a batch of items to a provider, several at a time, and survives its rate limits.

    A rate limit pauses all workers, each item keeps its worker through all its attempts,
    and an item that fails does not stop the others. It runs on asyncio and trio, and also
    without `async with`; then the strategy's `cleanup` is yours to call.

    >>> async def main() -> tuple[str | None, ...]:
    ...     async def shout(prompt: str) -> str:
    ...         return prompt.upper()
    ...     async with ParallelBatchProcessor(shout, workers=2) as processor:
    ...         await processor.add_work(LLMWorkItem(id="a", prompt="wave"))
    ...         await processor.add_work(LLMWorkItem(id="b", prompt="tank"))
    ...         batch = await processor.process_all()
    ...     return tuple(result.value for result in batch.results)
    >>> anyio.run(main)
    ('WAVE', 'TANK')

    Args:
        call: an async function from a prompt to a value, or an `LLMCallStrategy`. It sends
            one request and raises what the provider's client raises; it does not retry.
        workers: how many requests may be under way at once.
        max_attempts: how many errors other than rate limits an item may meet; the last is
            its outcome.
        max_rate_limit_retries: how often an item may be sent again after a rate limit.
        max_rate_limit_seconds: how long after its first rate limit an item may still be
            sent again; judged when a refusal comes, it never cuts a wait short.
        on_result: called, and awaited if it is async, with each `ItemResult` as it comes.
            What it raises is logged and stops nothing.

    Raises:
        ValueError: an argument is too small.
        TypeError: `call` is neither a callable nor a strategy.
    """

    # Without the first, a type checker finds no T for a call that always returns a CallResult.
    @overload
    def __init__(
        self,
        call: Callable[[str], Awaitable[CallResult[T]]] | _Accounting[T],
        *,
        workers: int = ...,
        max_attempts: int = ...,
        max_rate_limit_retries: int = ...,
        max_rate_limit_seconds: float = ...,
        on_result: OnResult | None = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        call: Call[T] | LLMCallStrategy[T],
        *,
        workers: int = ...,
        max_attempts: int = ...,
        max_rate_limit_retries: int = ...,
        max_rate_limit_seconds: float = ...,
        on_result: OnResult | None = ...,
    ) -> None: ...
    def __init__(
        self,
        call: Call[T] | LLMCallStrategy[T],
        *,
        workers: int = 10,
        max_attempts: int = 3,
        max_rate_limit_retries: int = 50,
        max_rate_limit_seconds: float = 3600.0,
        on_result: OnResult | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers!r}")
        self._limits = Budgets(max_attempts, max_rate_limit_retries, max_rate_limit_seconds)
        self._strategy = _as_strategy(call)
        self._workers = workers
        self._on_result = on_result
        self._items: dict[str, LLMWorkItem[Any]] = {}
        self._state: Literal["new", "started", "closed"] = "new"
        self._needs_cleanup = False

    def __repr__(self) -> str:
        return f"<ParallelBatchProcessor {self._state}, {len(self._items)} items, {self._workers} workers>"

    async def __aenter__(self) -> ParallelBatchProcessor[T]:
        self._refuse_unless_new("async with")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._state = "closed"
        if self._needs_cleanup:
            self._needs_cleanup = False
            await _clean_up(self._strategy)

    async def add_work(self, item: LLMWorkItem[Any]) -> None:
        """Add an item to the batch.

        Raises:
            ValueError: the batch holds an item with this id.
            RuntimeError: `process_all` has started.
        """
        self._refuse_unless_new("add_work()")
        if item.id in self._items:
            raise ValueError(f"the batch holds an item with the id {item.id!r}; give every item its own id")
        self._items[item.id] = item

    async def process_all(self) -> BatchResult[T]:
        """Process every item and return all outcomes, in the order in which the items were added.

        Cancelled, it leaves nothing running.

        Raises:
            RuntimeError: it was called before.
            Exception: what the strategy's `prepare` raised.
        """
        self._refuse_unless_new("process_all()")
        self._state = "started"
        run = Run(self._strategy, tuple(self._items.values()), limits=self._limits, on_result=self._on_result)
        if self._items:
            self._needs_cleanup = True
            await self._strategy.prepare()
        return await run.work(self._workers)

    def _refuse_unless_new(self, what: str) -> None:
        if self._state != "new":
            when = "process_all() has started" if self._state == "started" else "the processor was closed"
            raise RuntimeError(
                f"{what} came after {when}; add every item first, call process_all() once, "
                "and use a new ParallelBatchProcessor for the next batch"
            )


@final
class _PlainCall(Generic[T]):
    """A plain async function as a strategy: it gets the prompt alone."""

    def __init__(self, call: Call[T]) -> None:
        self._call = call

    async def prepare(self) -> None:
        """Nothing to prepare."""

    async def execute(self, item: LLMWorkItem[Any]) -> T | CallResult[T]:
        """Call the function with the item's prompt."""
        return await self._call(item.prompt)

    async def cleanup(self) -> None:
        """Nothing to clean up."""


def _as_strategy(call: Call[T] | LLMCallStrategy[T]) -> LLMCallStrategy[T]:
    # A class has the methods of its instances, but they cannot be called without one.
    if isinstance(call, LLMCallStrategy) and not isinstance(call, type):
        return call
    if callable(call) and not isinstance(call, type):
        return _PlainCall(call)
    raise TypeError(
        f"call must be an async function or have the methods prepare, execute and cleanup, "
        f"not {call!r}; pass a function or an instance of a strategy"
    )


async def _clean_up(strategy: LLMCallStrategy[Any]) -> None:
    """Await `cleanup` even in a cancelled scope; an error in it hides neither results nor other errors."""
    try:
        with anyio.fail_after(CLEANUP_SECONDS, shield=True):
            await strategy.cleanup()
    except Exception:
        logger.exception("cleanup of %r failed; the results of the batch are not affected", strategy)
