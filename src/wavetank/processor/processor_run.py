"""One run over items: the workers, each with one item at a time, and the results of items they leave."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final

import anyio
from anyio.abc import TaskGroup

from .decisions import Decision, DecisionLog, logger
from .delivery import Delivery
from .errors.error_fields import unwrap_single_group
from .gate.gate import Gate
from .gate.gates import Gates
from .gate.permits import Permits
from .in_flight_item import InFlightItem
from .item_source import BatchSource, ItemSource, prepared_item
from .items import ItemResult, LLMCallStrategy, LLMWorkItem
from .processor_options import ProcessorOptions
from .retry_limits import RetryBudget
from .run_totals import Progress, RunTotals
from .sender import Sender, StoppedSending
from .stopping import unfinished_result
from .store import RunRecord, Store
from .strategy_lifecycle import Strategies, program_of
from .time_limit import TimeLimit

if TYPE_CHECKING:
    from .shared.sharing import Sharing

T = TypeVar("T")

TASKS_PER_WORKER: Final = 8
"""So many items may wait for their next try for each worker, each with a substitute: bounds the memory."""
TASKS_WITH_SCOPES: Final = 1000
"""With several scopes more may wait, so that a paused scope does not use up the substitutes of the others."""
TIME_LIMIT_REACHED: Final = "its time was up"
CANCELLED: Final = "it was cancelled"


def _sharing(options: ProcessorOptions, strategies: Strategies[Any]) -> Sharing | None:
    """The shared gates, if the limits are shared: most runs need none of what they import."""
    if options.shared_limits is None:
        return None
    from .shared.sharing import Sharing

    return Sharing(options.shared_limits, program_of(strategies.own))


@final
class ProcessorRun(Generic[T]):
    """One run of `process_all` or `process`.

    A worker keeps its item through all its attempts, so no item is put back into a queue,
    and an item that fails does not end the work on others.

    Args:
        strategies: send the items.
        options: those of the processor.
        source: the items.
        out: called with the number of each item and its result.
    """

    def __init__(
        self,
        strategies: Strategies[T],
        options: ProcessorOptions,
        *,
        source: ItemSource,
        out: Callable[[int, ItemResult[T]], None],
    ) -> None:
        self.began: Final = anyio.current_time()
        self.stopped: str | None = None
        self.totals: Final = RunTotals()
        self._strategies = strategies
        self._options = options
        self._source = source
        self._out = out
        self._decisions = DecisionLog(options.observer, self.began)
        self._sharing = _sharing(options, strategies)
        self.gates: Final = Gates(
            scope=options.scope,
            delays=options.pause_lengths,
            limits_of=options.limits_of,
            store=options.store,
            decisions=self._decisions,
            left=self._count_left,
            gate=Gate if self._sharing is None else self._sharing.gate,
        )
        self.gates.note_strategies([strategies.own])
        self._max_in_flight = min(options.workers, options.most_at_once)
        self._permits = Permits(self._max_in_flight, self._start_substitute)
        self._sender = Sender(
            strategies,
            options,
            gates=self.gates,
            permits=self._permits,
            totals=self.totals,
            decisions=self._decisions,
            stop_run=self.stop,
        )
        self._delivery = Delivery[T](options, self._emit)
        self._unfinished_items: dict[int, InFlightItem] = {}
        self._prepared: dict[int, InFlightItem] = {}
        self._earlier_results: Mapping[str, ItemResult[T]] = {}
        self._error: Exception | None = None
        self._complete = False
        self._unfinished_cause: str | None = None
        self._group: TaskGroup | None = None
        self._tasks = 0
        self._take_turn = anyio.Lock(fast_acquire=True)
        self._time_limit = TimeLimit(self.began, options.bounds)

    async def work(self) -> None:
        """Process every item; start new workers if all were cancelled from outside.

        Raises:
            Exception: any error of the store, a sink or the source of the items.
        """
        try:
            await self._process_all_items()
        except Exception as error:
            self._fail(error)
        finally:
            await self._record_end()
            if logger.isEnabledFor(logging.INFO):
                logger.info("%s", self.totals.summary(anyio.current_time() - self.began))
        if self._error is not None:
            raise self._error

    def _count_left(self) -> float:
        """How many items are still to be sent, if that is known."""
        if not isinstance(self._source, BatchSource):
            return math.inf
        return len(self._source) + len(self._prepared)

    async def _process_all_items(self) -> None:
        if self._sharing is not None:
            await self._sharing.check()
        await self._recall_outcomes()
        await self._prepare_strategies()
        with self._time_limit.scope() as limit:
            await self._prepare_all()
        self._stop_if_timed_out(limit)
        if self._prepared:
            await self._prepare_strategies()
        await self._run_workers_until_done()
        await self._deliver_remaining()
        self._complete = True

    async def _record_end(self) -> None:
        """Record in the store how the run ended."""
        store = self._options.store
        if not isinstance(store, RunRecord):
            return
        stopped = self.stopped or (self._unfinished_cause if self._complete else CANCELLED)
        try:
            with anyio.CancelScope(shield=True):
                await self.gates.store_new_pauses()
                await store.run_ended(stopped)
        except Exception as error:
            self._fail(error)

    def stop(self, reason: str, scope: str = "") -> None:
        """Send nothing more; requests that are under way are finished.

        Args:
            reason: why, in words.
            scope: the name of the scope whose provider is the cause, if one is.
        """
        if self.stopped is None:
            self.stopped = reason
            self._decisions.record(Decision("stopped", anyio.current_time(), scope, reason=reason))
            self.gates.close()
            self._source.stop()

    def retune(self, options: ProcessorOptions) -> None:
        """Continue with another number of workers, other limits, bounds or time for an outage."""
        self._options = options
        self._sender.retune(options)
        self.gates.retune(options.limits_of)
        more = min(options.workers, options.most_at_once) - self._max_in_flight
        self._max_in_flight += more
        self._permits.resize(self._max_in_flight)
        for _ in range(more):
            self._start_substitute()
        self._time_limit.change(options.bounds)

    @property
    def progress(self) -> Progress:
        """What was done so far."""
        return self.totals.progress(
            seconds=anyio.current_time() - self.began,
            under_way=sum(gate.under_way for gate in self.gates),
            workers=self._max_in_flight,
            away=self._sender.scopes_away(),
        )

    async def _recall_outcomes(self) -> None:
        store = self._options.store
        if store is not None:
            self.gates.hold(await store.limited_until())
            if isinstance(self._source, BatchSource):
                self._earlier_results = await store.recall([item for _, item in self._source.remaining])

    async def _prepare_strategies(self) -> None:
        """Prepare all strategies of a batch before it sends a request, with those from `prepare_item`."""
        if not isinstance(self._source, BatchSource) or self.stopped is not None:
            return
        sent = [
            self._strategy_of(item, self._prepared.get(number))
            for number, item in self._source.remaining
            if item.id not in self._earlier_results
        ]
        self.gates.note_strategies(sent)
        await self._strategies.prepare({id(each): each for each in sent}.values())

    def _strategy_of(self, item: LLMWorkItem[Any], in_flight: InFlightItem | None) -> LLMCallStrategy[T]:
        return self._strategies.of(item, item if in_flight is None else in_flight.request)

    async def _run_workers_until_done(self) -> None:
        try:
            async with anyio.create_task_group() as timer:
                timer.start_soon(self._stop_in_time)
                if self._sharing is not None:
                    self._sharing.start(timer)
                while self.stopped is None and not self._source.exhausted:
                    await self._run_workers()
                timer.cancel_scope.cancel()
        except BaseExceptionGroup as failures:
            # No Exception ends a worker, only KeyboardInterrupt and the like, which are for the caller.
            if (failure := unwrap_single_group(failures)) is failures:
                raise
            raise failure from failure.__cause__

    async def _run_workers(self) -> None:
        size = self._max_in_flight
        if isinstance(self._source, BatchSource):
            size = min(size, len(self._source))
        async with anyio.create_task_group() as self._group:
            for _ in range(size):
                self._start_worker()

    async def _stop_in_time(self) -> None:
        """Stop the run at its time limit; requests have a time limit of their own."""
        await self._time_limit.wait()
        if not self._source.exhausted or any(one.result is None for one in self._unfinished_items.values()):
            self.stop(TIME_LIMIT_REACHED)

    def _start_worker(self) -> None:
        if self._group is not None:
            self._tasks += 1
            self._group.start_soon(self._worker, name=f"wavetank-worker-{self._tasks}")

    def _start_substitute(self) -> None:
        """Start another worker while the item of one waits, if there is anything to do."""
        workers = self._max_in_flight
        most = TASKS_PER_WORKER * workers
        if self.gates.has_several_scopes:
            most = max(most, TASKS_WITH_SCOPES)
        wanted = self.stopped is None and not self._source.exhausted
        awake = self._tasks - self._permits.waiting_holders
        if wanted and awake < workers and self._tasks < most:
            self._start_worker()

    async def _worker(self) -> None:
        try:
            while self.stopped is None and (taken := await self._next_item()) is not None:
                await self._process(taken)
                if self._tasks - self._permits.waiting_holders > self._max_in_flight:
                    return
        finally:
            self._tasks -= 1

    async def _next_item(self) -> InFlightItem | None:
        try:
            if self._options.store is None or isinstance(self._source, BatchSource):
                taken = await self._source.take()
                return None if taken is None else self._track(*taken)
            # A journal compares the items with its rows, so it must get them in their order.
            async with self._take_turn:
                taken = await self._source.take()
                return None if taken is None else await self._track_recalled(*taken, self._options.store)
        except Exception as error:
            self._fail(error)
            return None

    async def _track_recalled(self, number: int, item: LLMWorkItem[Any], store: Store) -> InFlightItem:
        """Track an item of a stream, with the result that the store has from an earlier run."""
        in_flight = self._track(number, item)
        if (known := (await store.recall([item])).get(item.id)) is not None:
            in_flight.result = replace(known, recalled=True)
        return in_flight

    def _track(self, number: int, item: LLMWorkItem[Any]) -> InFlightItem:
        in_flight = self._unfinished_items[number] = self._in_flight_item(number, item)
        if (known := self._earlier_results.get(item.id)) is not None:
            in_flight.result = replace(known, recalled=True)
        return in_flight

    async def _process(self, in_flight: InFlightItem) -> None:
        try:
            with self._time_limit.scope() as limit:
                await self._permits.acquire(in_flight)
                in_flight.result = await self._result_for(in_flight)
            if self._stop_if_timed_out(limit):
                return
        except StoppedSending as stopped:
            self.stop(str(stopped))
            return
        except Exception as error:
            self._fail(error)
            return
        finally:
            self._permits.release(in_flight)
        self._note_first_result(in_flight, in_flight.result)
        await self._store_and_deliver(in_flight, in_flight.result)

    def _note_first_result(self, in_flight: InFlightItem, result: ItemResult[T]) -> None:
        """Record when the first outcome of a request came; other outcomes are not from the provider."""
        if self.totals.first_result is None and in_flight.budget.attempts and not result.unfinished:
            self.totals.first_result = anyio.current_time() - self.began

    def _in_flight_item(self, number: int, item: LLMWorkItem[Any]) -> InFlightItem:
        in_flight = self._prepared.pop(number, None)
        return in_flight if in_flight is not None else self._new_in_flight(number, item)

    def _new_in_flight(self, number: int, item: LLMWorkItem[Any]) -> InFlightItem:
        return InFlightItem(number, item, item, RetryBudget(self._options.retry_limits), anyio.current_time())

    async def _result_for(self, in_flight: InFlightItem) -> ItemResult[T]:
        if in_flight.result is None and not isinstance(self._source, BatchSource):
            await self._prepare(in_flight)
            await self._prepare_strategy(in_flight)
        return in_flight.result or await self._sender.run(in_flight)

    async def _prepare_strategy(self, in_flight: InFlightItem) -> None:
        """Prepare a strategy that is new in this stream; items of other strategies continue meanwhile."""
        strategy = self._strategy_of(in_flight.item, in_flight)
        self.gates.note_strategies([strategy])
        if in_flight.result is None and not self._strategies.is_ready(strategy):
            await self._permits.wait_without(in_flight, partial(self._strategies.prepare, [strategy]))

    async def _prepare_all(self) -> None:
        """Prepare all items of a batch before its first request; an item that cannot be prepared fails."""
        if self._options.prepare_item is None or not isinstance(self._source, BatchSource):
            return
        for number, item in self._source.remaining:
            if item.id not in self._earlier_results:
                self._prepared[number] = self._new_in_flight(number, item)
                await self._prepare(self._prepared[number])

    async def _prepare(self, in_flight: InFlightItem) -> None:
        if self._options.prepare_item is None:
            return
        try:
            in_flight.request = await prepared_item(self._options.prepare_item, in_flight.item)
            in_flight.sent = in_flight.request
        except Exception as error:
            reason = f"preparation failed: {type(error).__name__}: {error}"
            in_flight.result = ItemResult(in_flight.item.id, error=error, reason=reason, cause=reason)

    async def _store_and_deliver(self, in_flight: InFlightItem, result: ItemResult[T]) -> None:
        """Store an outcome, then deliver it; an error in either stops the run."""
        item = in_flight.item
        try:
            if self._options.store is not None and not (result.recalled or result.unfinished):
                # The outcome has been paid for, so it is stored even during a cancellation.
                with anyio.CancelScope(shield=True):
                    await self._options.store.settled(item, result)
                    # A good answer may have stated a limit, too.
                    await self.gates.store_new_pauses()
            in_flight.stored = True
            if self._decisions.wants_details:
                now = anyio.current_time()
                self._decisions.record(Decision("done", now, item=item.id, reason=result.reason))
            if self._options.fail_fast and result.error is not None:
                self.stop(f"item {item.id!r} failed: {result.reason}")
            await self._delivery.take(in_flight.number, item, result)
        except Exception as error:
            self._fail(error)

    async def _deliver_remaining(self) -> None:
        """Deliver a result for each item that has none yet: those that were left, and those never started."""
        rest = dict(self._unfinished_items)
        if isinstance(self._source, BatchSource):
            rest |= {number: self._in_flight_item(number, item) for number, item in self._source.remaining}
        for number, in_flight in rest.items():
            try:
                await self._delivery.take(number, in_flight.item, self._final_result(in_flight))
            except Exception as error:
                self._fail(error)

    def _final_result(self, in_flight: InFlightItem) -> ItemResult[T]:
        """The result of an item at the end of the run; one that the store does not have does not count."""
        if (known := self._earlier_results.get(in_flight.item.id)) is not None:
            return replace(known, recalled=True)
        result = in_flight.result
        if result is not None and (in_flight.stored or result.recalled or self._options.store is None):
            return result
        return unfinished_result(in_flight.item.id, in_flight.budget.attempts, self.stopped)

    def _emit(self, number: int, result: ItemResult[T]) -> None:
        self._unfinished_items.pop(number, None)
        self.totals.succeeded += result.error is None
        self.totals.failed += result.error is not None
        if result.recalled:
            self._sender.note_recalled(result)
        if result.unfinished:
            self._unfinished_cause = result.cause
        self._out(number, result)

    def _fail(self, error: Exception) -> None:
        """Stop the run for an error of the store, a sink or the source; the caller gets the first one."""
        if self._error is None:
            self._error = error
        self.stop(f"{type(error).__name__}: {error}")

    def _stop_if_timed_out(self, limit: anyio.CancelScope) -> bool:
        if limit.cancelled_caught:
            self.stop(TIME_LIMIT_REACHED)
        return limit.cancelled_caught
