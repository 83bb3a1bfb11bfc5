"""The batch processor: add items, process them, and get each outcome in the order of the items."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Hashable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, TypeVar, Unpack, final, overload

import anyio

from .background_tasks import Background
from .batch_result import BatchResult
from .item_source import BatchSource, StreamSource, checked_item
from .items import CallResult, ItemResult, LLMCallStrategy, LLMWorkItem
from .main_guard import refuse_in_import_of_main
from .processor_options import OptionFields, ProcessorOptions
from .processor_run import ProcessorRun
from .result_queue import ResultQueue
from .result_stream import Results
from .run_totals import Progress
from .stopping import Bounds
from .strategy_lifecycle import Call, Strategies, as_strategy

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Accounting(Protocol[T_co]):
    """A strategy whose answers are all `CallResult`s."""

    async def prepare(self) -> None: ...
    async def execute(self, item: LLMWorkItem[Any]) -> CallResult[T_co]: ...
    async def cleanup(self) -> None: ...


@final
class ParallelBatchProcessor(Generic[T]):
    """Sends items to a provider, several at a time, and survives its rate limits.

    A rate limit pauses all workers, each item keeps its worker through all its attempts,
    and an item that fails does not stop the others. It runs on asyncio and trio.
    `process_all` also works without `async with`; then you have to call the strategy's
    `cleanup` yourself.

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
            An item with a strategy of its own is sent by that one.
        workers: how many requests may be under way at once.
        max_attempts: how many errors other than rate limits an item may have; the last one is
            its outcome.
        max_rate_limit_retries: how often an item may be sent again after a rate limit.
        max_rate_limit_seconds: how long after its first rate limit an item may still be
            sent again. It is checked at each refusal, and never ends a wait early.
        request_seconds: how long one request may take; then it is cancelled and tried again.
        limits: the known limits of the provider, or a mapping from the keys of `scope` to the
            limits of each. Unknown limits are learnt.
        shared: where other processes share the limits: `redis://host:6379/0`, `file:PATH`, `auto` for a
            file of this machine, or a `SharedLimits`.
        delays: how long a pause is.
        classifier: decides which errors are rate limits; by default `classify`.
        scope: the key of an item's limits, such as its model; by default all items share one
            account. Each key has its own gate. A strategy with an attribute `scope` names the
            key of its items itself.
        estimate_tokens: estimates the tokens of an item. If it, `scope` or `classifier`
            raises, only that item fails.
        bounds: what the run may take at most.
        on_quota: what a spent quota or budget means for the items of its scope: `fail` with
            its reason and without a request, or `wait`, if it says when it resets.
        fail_fast: send nothing more after the first item that failed.
        max_outage_seconds: how long the provider may be away before the run stops. Its items
            then have no outcome, and can be sent later. It is checked at each failed request.
        validate: called, and awaited if it is async, with an item and its answer. If it raises,
            the answer is not valid, and the item is sent again.
        max_validation_retries: how often an item may be sent again for that; these do not count
            as `max_attempts`.
        before_attempt: returns the item that the next request sends, from the item and an
            `Attempt`: another prompt, other data or another strategy. If it raises, only that
            item fails.
        fallbacks: strategies or functions for items that would fail, and for all items while
            the provider is away, one after the other. Each has its own gate, and the item has
            all its attempts again.
        prepare_item: returns the item that is sent. If it raises, only that item fails.
            `process_all` prepares all items before it sends any.
        post_process: returns the value of a result, from item and answer. If it raises, only
            that item fails.
        order: whether post-processing, sinks, `on_result` and `process` get the results as
            they are `completed` or in the order of the `input`.
        batch_size: how many items may be under way at once; the smaller of it and `workers`
            applies. In a stream an item is under way until its result is fetched. It is a
            bound, not a barrier: the next item starts when one is done.
        on_result: called, and awaited if it is async, with each `ItemResult`. An error in it
            is logged and stops nothing.
        observer: called with each `Decision`.
        store: stores what was done, such as a journal.
        sinks: where results are written.

    Raises:
        ValueError: an argument is too small, or `shared` is no address.
        TypeError: `call` is neither a callable nor a strategy.
    """

    # Without the first, a type checker finds no T for a call that always returns a CallResult.
    @overload
    def __init__(
        self,
        call: Callable[[str], Awaitable[CallResult[T]]] | _Accounting[T],
        **options: Unpack[OptionFields],
    ) -> None: ...
    @overload
    def __init__(self, call: Call[T] | LLMCallStrategy[T], **options: Unpack[OptionFields]) -> None: ...
    def __init__(self, call: Call[T] | LLMCallStrategy[T], **options: Unpack[OptionFields]) -> None:
        self._options = ProcessorOptions(**options)
        self._strategies = Strategies(as_strategy(call))
        self._items: dict[str, LLMWorkItem[Any]] = {}
        self._state: Literal["new", "started", "closed"] = "new"
        self._started_by = ""
        self._group: Background | None = None
        self._run: ProcessorRun[T] | None = None

    def __repr__(self) -> str:
        workers = self._options.workers
        return f"<ParallelBatchProcessor {self._state}, {len(self._items)} items, {workers} workers>"

    async def __aenter__(self) -> ParallelBatchProcessor[T]:
        self._refuse_unless_new("async with")
        if self._group is not None:
            raise RuntimeError("the processor was entered before; use one `async with` for it")
        self._group = Background()
        await self._group.open()
        self._strategies.enter()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._state = "closed"
        try:
            if self._group is not None:
                await self._group.close(exc)
        finally:
            self._group = None
            await self._strategies.leave()

    async def add_work(self, item: LLMWorkItem[Any]) -> None:
        """Add an item to the batch.

        Raises:
            ValueError: the batch holds an item with this id.
            TypeError: it is no `LLMWorkItem`.
            RuntimeError: `process_all` or `process` has started.
        """
        self._refuse_unless_new("add_work()")
        checked_item(item)
        if item.id in self._items:
            raise ValueError(f"the batch holds an item with the id {item.id!r}; give every item its own id")
        self._items[item.id] = item

    async def process_all(self, *, batch_size: int | None = None) -> BatchResult[T]:
        """Process every item and return all outcomes, in the order in which the items were added.

        When it is cancelled, it leaves nothing running.

        Args:
            batch_size: how many items may be under way at once, in place of the constructor's
                `batch_size`. `workers` is the other bound; the smaller of the two applies.

        Raises:
            RuntimeError: it or `process` was called before.
            ValueError: `batch_size` is below 1.
            Exception: any error of the strategy's `prepare`, the store or a sink.
        """
        options = self._options = self._options.with_batch_size(batch_size)
        self._start("process_all()")
        results: dict[int, ItemResult[T]] = {}
        source = BatchSource(tuple(self._items.values()))
        run = ProcessorRun(self._strategies, options, source=source, out=results.__setitem__)
        self._run = run
        await run.work()
        ordered = tuple(results[number] for number in sorted(results))
        return _batch_result(run, ordered)

    def process(
        self,
        items: Iterable[LLMWorkItem[Any]] | AsyncIterable[LLMWorkItem[Any]],
        *,
        batch_size: int | None = None,
    ) -> Results[T]:
        """Process items as they are taken from an iterable, and return each result as it comes.

        No more than `batch_size` items are held at any time, so the iterable may be of any
        length. Their ids are not compared. If the loop ends early, no more than `batch_size`
        items are still sent; `contextlib.aclosing` around the results stops the run at once.

        Args:
            items: the items to process; one is taken when there is room for it.
            batch_size: in place of the constructor's.

        Raises:
            RuntimeError: it or `process_all` was called before, or there is no `async with`.
            ValueError: `batch_size` is below 1.
            TypeError: in the loop, the iterable returned an object that is no `LLMWorkItem`.
            Exception: in the loop, any error of the strategy's `prepare`, the iterable, the
                store or a sink.
        """
        if self._group is None:
            self._refuse_unless_new("process()")
            raise RuntimeError("process() needs `async with ParallelBatchProcessor(...)` around it")
        options = self._options = self._options.with_batch_size(batch_size)
        self._start("process()")
        queue = ResultQueue[T](options.most_at_once)
        return Results(queue, partial(self._begin, items, queue, self._group))

    async def retune(
        self,
        *,
        workers: int | None = None,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        burst: float | None = None,
        token_burst: float | None = None,
        scope: Hashable | None = None,
        bounds: Bounds | None = None,
        max_outage_seconds: float | None = None,
    ) -> None:
        """Change how fast and how long the run works, also while it runs; what is `None` stays as it is.

        Requests that are under way are finished, also if there are now fewer workers.

        Args:
            workers: how many requests may be under way at once; no more than `batch_size`.
            requests_per_minute: the limit of the provider; infinity: it is learnt.
            tokens_per_minute: the same for tokens.
            burst: see `Limits`.
            token_burst: see `Limits`.
            scope: the scope that the four limits are for; by default they are for every scope.
            bounds: what the run may take at most, counted from its start; `Bounds()` is no bound.
            max_outage_seconds: how long the provider may be away.

        Raises:
            ValueError: a number is too small; nothing is changed then.
        """
        given = {"workers": workers, "bounds": bounds, "max_outage_seconds": max_outage_seconds}
        limits = {
            "requests_per_minute": requests_per_minute,
            "tokens_per_minute": tokens_per_minute,
            "burst": burst,
            "token_burst": token_burst,
        }
        self._options = self._options.changed(given).with_limits(scope, limits)
        if self._run is not None:
            self._run.retune(self._options)

    @property
    def progress(self) -> Progress:
        """What was done so far: counts, tokens and cost, also while it runs."""
        return Progress(workers=self._options.workers) if self._run is None else self._run.progress

    async def _begin(
        self,
        items: Iterable[LLMWorkItem[Any]] | AsyncIterable[LLMWorkItem[Any]],
        queue: ResultQueue[T],
        group: Background,
    ) -> anyio.CancelScope:
        await self._strategies.prepare([self._strategies.own])
        run = ProcessorRun(
            self._strategies,
            self._options,
            source=StreamSource(items, queue),
            out=lambda _, result: queue.put(result),
        )
        self._run = run
        return group.start(run.work, queue.close)

    def _start(self, what: str) -> None:
        refuse_in_import_of_main(what)
        self._refuse_unless_new(what)
        self._state, self._started_by = "started", what

    def _refuse_unless_new(self, what: str) -> None:
        if self._state != "new":
            when = (
                f"{self._started_by} has started" if self._state == "started" else "the processor was closed"
            )
            raise RuntimeError(
                f"{what} came after {when}; add every item first, call process_all() once, "
                "and use a new ParallelBatchProcessor for the next batch"
            )


def _batch_result(run: ProcessorRun[T], results: tuple[ItemResult[T], ...]) -> BatchResult[T]:
    gates = list(run.gates)
    return BatchResult(
        results=results,
        seconds=anyio.current_time() - run.began,
        first_result_seconds=run.totals.first_result,
        requests=run.totals.requests,
        refusals=run.totals.refusals,
        retries=run.totals.retries,
        recoveries=run.totals.recoveries,
        pauses=sum(gate.pauses for gate in gates),
        paused_seconds=sum(gate.paused_seconds for gate in gates),
        stopped=run.stopped,
    )
