"""One pass over a run's items: workers that keep an item each, and what becomes of those they leave."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, Final, Generic, TypeVar, final

import anyio
from anyio.abc import TaskGroup

from .budget import Budget
from .delivery import Delivery
from .gates import Gates
from .intake import Batch, Intake, checked
from .leaks import awaited
from .lifecycle import Strategies
from .options import Options
from .permits import Permits
from .sender import Errand, Sender, Stopped, Totals
from .shape import sole
from .sight import Sight, logger
from .stopping import RunStopped, WorkerLost
from .store import RunRecord, Store
from .work import ItemResult, LLMCallStrategy, LLMWorkItem

T = TypeVar("T")

TASKS_PER_WORKER: Final = 8
TASKS_WITH_SCOPES: Final = 1000
TIME_IS_UP: Final = "its time was up"
CANCELLED: Final = "it was cancelled"


@final
class Run(Generic[T]):
    """The state of one `process_all` or `process`.

    A worker keeps its item through all its attempts, so nothing is put back into the
    queue, and an item that fails ends nobody else's work.

    Args:
        strategies: how items are sent.
        options: what the caller chose.
        intake: where the items come from.
        out: called with the number of each item and its result.
    """

    def __init__(
        self,
        strategies: Strategies[T],
        options: Options,
        *,
        intake: Intake,
        out: Callable[[int, ItemResult[T]], None],
    ) -> None:
        self.began: Final = anyio.current_time()
        self.stopped: str | None = None
        self.totals: Final = Totals()
        self._strategies = strategies
        self._options = options
        self._intake = intake
        self._out = out
        self._sight = Sight(options.observer, self.began)
        self.gates: Final = Gates(options, self._sight)
        self.gates.expect([strategies.own])
        self._at_once = min(options.workers, options.batch_size)
        self._permits = Permits(self._at_once, self._substitute)
        self._sender = Sender(
            strategies,
            options,
            gates=self.gates,
            permits=self._permits,
            totals=self.totals,
            sight=self._sight,
        )
        self._delivery = Delivery[T](options, self._hand_out)
        self._open: dict[int, Errand] = {}
        self._prepared: dict[int, Errand] = {}
        self._known: Mapping[str, ItemResult[T]] = {}
        self._error: Exception | None = None
        self._complete = False
        self._unfinished: str | None = None
        self._group: TaskGroup | None = None
        self._tasks = 0
        self._in_turn = anyio.Lock(fast_acquire=True)
        self._seconds = None if options.bounds is None else options.bounds.seconds

    async def work(self) -> None:
        """Bring every item to its outcome; start new workers if outsiders cancelled them all.

        Raises:
            Exception: what the store, a sink or the source of the items raised.
        """
        try:
            await self._bring_all_home()
        except Exception as error:
            self._fail(error)
        finally:
            await self._record_end()
            if logger.isEnabledFor(logging.INFO):
                logger.info("%s", self.totals.summary(anyio.current_time() - self.began))
        if self._error is not None:
            raise self._error

    async def _bring_all_home(self) -> None:
        await self._remember()
        await self._prepare_strategies()
        with self._time_limit() as limit:
            await self._prepare_all()
        self._stop_if_cut(limit)
        if self._prepared:
            await self._prepare_strategies()
        await self._crews()
        await self._settle_the_rest()
        self._complete = True

    async def _record_end(self) -> None:
        """Let the store know how the run ended."""
        store = self._options.store
        if not isinstance(store, RunRecord):
            return
        stopped = self.stopped or (self._unfinished if self._complete else CANCELLED)
        try:
            with anyio.CancelScope(shield=True):
                await self.gates.keep_pauses()
                await store.run_ended(stopped)
        except Exception as error:
            self._fail(error)

    def stop(self, reason: str) -> None:
        """Send nothing more; what is under way comes home."""
        if self.stopped is None:
            self.stopped = reason
            self._sight.tell("stopped", anyio.current_time(), reason=reason)
            self.gates.close()
            self._intake.stop()

    async def _remember(self) -> None:
        store = self._options.store
        if store is not None:
            self.gates.hold(await store.limited_until())
            if isinstance(self._intake, Batch):
                self._known = await store.recall([item for _, item in self._intake.rest_of_it])

    async def _prepare_strategies(self) -> None:
        """Prepare all that a batch needs before its first request, also those that `prepare_item` chose."""
        if not isinstance(self._intake, Batch) or self.stopped is not None:
            return
        sent = [
            self._strategy(item, self._prepared.get(number))
            for number, item in self._intake.rest_of_it
            if item.id not in self._known
        ]
        self.gates.expect(sent)
        await self._strategies.prepare({id(each): each for each in sent}.values())

    def _strategy(self, item: LLMWorkItem[Any], errand: Errand | None) -> LLMCallStrategy[T]:
        return self._strategies.of(item, item if errand is None else errand.request)

    async def _crews(self) -> None:
        try:
            async with anyio.create_task_group() as timer:
                if self._seconds is not None:
                    timer.start_soon(self._stop_in_time, self._seconds)
                while self.stopped is None and not self._intake.exhausted:
                    await self._crew()
                timer.cancel_scope.cancel()
        except BaseExceptionGroup as failures:
            # Only KeyboardInterrupt and its like, no Exception, ends a worker: it is meant for the caller.
            if (failure := sole(failures)) is failures:
                raise
            raise failure from failure.__cause__

    async def _crew(self) -> None:
        size = self._at_once
        if isinstance(self._intake, Batch):
            size = min(size, len(self._intake))
        async with anyio.create_task_group() as self._group:
            for _ in range(size):
                self._hire()

    async def _stop_in_time(self, seconds: float) -> None:
        """Release who waits for an item or for the gate; requests have limits of their own."""
        await anyio.sleep_until(self.began + seconds)
        if not self._intake.exhausted or any(errand.result is None for errand in self._open.values()):
            self.stop(TIME_IS_UP)

    def _hire(self) -> None:
        if self._group is not None:
            self._tasks += 1
            self._group.start_soon(self._worker, name=f"wavetank-worker-{self._tasks}")

    def _substitute(self) -> None:
        """Start a worker for one whose item waits, if there is anything for it to do."""
        workers = self._at_once
        most = TASKS_PER_WORKER * workers
        if self.gates.several:
            most = max(most, TASKS_WITH_SCOPES)
        wanted = self.stopped is None and not self._intake.exhausted
        awake = self._tasks - self._permits.lent
        if wanted and awake < workers and self._tasks < most:
            self._hire()

    async def _worker(self) -> None:
        try:
            while self.stopped is None and (taken := await self._take()) is not None:
                await self._process(*taken)
                if self._tasks - self._permits.lent > self._at_once:
                    return
        finally:
            self._tasks -= 1

    async def _take(self) -> tuple[int, Errand] | None:
        try:
            if self._options.store is None or isinstance(self._intake, Batch):
                taken = await self._intake.take()
                return None if taken is None else self._opened(*taken)
            # A journal holds the items to its rows: it has to meet them in their order, whichever
            # worker has a permit first.
            async with self._in_turn:
                taken = await self._intake.take()
                return None if taken is None else await self._recalled(*taken, self._options.store)
        except Exception as error:
            self._fail(error)
            return None

    async def _recalled(self, number: int, item: LLMWorkItem[Any], store: Store) -> tuple[int, Errand]:
        """Open an item of a stream, with the result that an earlier run had."""
        opened = self._opened(number, item)
        if (known := (await store.recall([item])).get(item.id)) is not None:
            opened[1].result = replace(known, recalled=True)
        return opened

    def _opened(self, number: int, item: LLMWorkItem[Any]) -> tuple[int, Errand]:
        errand = self._open[number] = self._errand(number, item)
        if (known := self._known.get(item.id)) is not None:
            errand.result = replace(known, recalled=True)
        return number, errand

    async def _process(self, number: int, errand: Errand) -> None:
        try:
            with self._time_limit() as limit:
                await self._permits.get(errand)
                errand.result = await self._attend(errand)
            if self._stop_if_cut(limit):
                return
        except Stopped as stopped:
            self.stop(str(stopped))
            return
        except Exception as error:
            self._fail(error)
            return
        finally:
            self._permits.give_back(errand)
        self._note_first(errand, errand.result)
        await self._settle(number, errand, errand.result)

    def _note_first(self, errand: Errand, result: ItemResult[T]) -> None:
        """Note when the first outcome came; one without a request of this run came from no provider."""
        if self.totals.first_result is None and errand.budget.attempts and not result.unfinished:
            self.totals.first_result = anyio.current_time() - self.began

    def _errand(self, number: int, item: LLMWorkItem[Any]) -> Errand:
        errand = self._prepared.pop(number, None)
        return errand if errand is not None else self._new_errand(item)

    def _new_errand(self, item: LLMWorkItem[Any]) -> Errand:
        return Errand(item, item, Budget(self._options.budgets), anyio.current_time())

    async def _attend(self, errand: Errand) -> ItemResult[T]:
        if errand.result is None and not isinstance(self._intake, Batch):
            await self._prepare(errand)
            await self._get_ready(errand)
        return errand.result or await self._sender.run(errand)

    async def _get_ready(self, errand: Errand) -> None:
        """Prepare a strategy that has not been seen in this stream; items of others go on meanwhile."""
        strategy = self._strategy(errand.item, errand)
        self.gates.expect([strategy])
        if errand.result is None and not self._strategies.is_ready(strategy):
            await self._permits.lend(errand, partial(self._strategies.prepare, [strategy]))

    async def _prepare_all(self) -> None:
        """Prepare a whole batch before its first request is sent; a bad item fails alone."""
        if self._options.prepare_item is None or not isinstance(self._intake, Batch):
            return
        for number, item in self._intake.rest_of_it:
            if item.id not in self._known:
                self._prepared[number] = self._new_errand(item)
                await self._prepare(self._prepared[number])

    async def _prepare(self, errand: Errand) -> None:
        if self._options.prepare_item is None:
            return
        try:
            errand.request = await _prepared(self._options.prepare_item, errand.item)
        except Exception as error:
            reason = f"preparation failed: {type(error).__name__}: {error}"
            errand.result = ItemResult(errand.item.id, error=error, reason=reason, cause=reason)

    async def _settle(self, number: int, errand: Errand, result: ItemResult[T]) -> None:
        """Keep an outcome, then let others hear of it; what fails there stops the run, not the outcome."""
        item = errand.item
        try:
            if self._options.store is not None and not (result.recalled or result.unfinished):
                # It has been paid for: not even a cancellation keeps it from being kept.
                with anyio.CancelScope(shield=True):
                    await self._options.store.settled(item, result)
                    # A good answer may have told of a limit, too.
                    await self.gates.keep_pauses()
            errand.kept = True
            if self._sight.wanted:
                self._sight.tell("done", anyio.current_time(), item=item.id, reason=result.reason)
            if self._options.fail_fast and result.error is not None:
                self.stop(f"item {item.id!r} failed: {result.reason}")
            await self._delivery.take(number, item, result)
        except Exception as error:
            self._fail(error)

    async def _settle_the_rest(self) -> None:
        """Give an outcome to the items that were taken up and left, and to those never taken up."""
        rest = dict(self._open)
        if isinstance(self._intake, Batch):
            rest |= {number: self._errand(number, item) for number, item in self._intake.rest_of_it}
        for number, errand in rest.items():
            try:
                await self._delivery.take(number, errand.item, self._last(errand))
            except Exception as error:
                self._fail(error)

    def _last(self, errand: Errand) -> ItemResult[T]:
        """The result of an item that nobody works on any more; what the store has not kept is none."""
        if (known := self._known.get(errand.item.id)) is not None:
            return replace(known, recalled=True)
        result = errand.result
        if result is not None and (errand.kept or result.recalled or self._options.store is None):
            return result
        return self._left(errand)

    def _left(self, errand: Errand) -> ItemResult[T]:
        item = errand.item
        error: RuntimeError
        if self.stopped is not None:
            cause = f"not finished, the run was stopped: {self.stopped}"
            error = RunStopped(f"item {item.id!r} was {cause}; add it to a new batch")
        else:
            cause = "worker cancelled"
            error = WorkerLost(
                f"the worker that held item {item.id!r} was cancelled; add the item to a new batch"
            )
        return ItemResult(
            item.id, error=error, attempts=errand.budget.attempts, reason=cause, cause=cause, unfinished=True
        )

    def _hand_out(self, number: int, result: ItemResult[T]) -> None:
        self._open.pop(number, None)
        self.totals.succeeded += result.error is None
        self.totals.failed += result.error is not None
        if result.unfinished:
            self._unfinished = result.cause
        self._out(number, result)

    def _fail(self, error: Exception) -> None:
        """Stop the run for an error of the store, a sink or the source; the first is what the caller gets."""
        if self._error is None:
            self._error = error
        self.stop(f"{type(error).__name__}: {error}")

    def _time_limit(self) -> AbstractContextManager[anyio.CancelScope | None]:
        """Ends what leads to an outcome when the time is up, never what is done with one that is there."""
        if self._seconds is None:
            return nullcontext()
        return anyio.CancelScope(deadline=self.began + self._seconds)

    def _stop_if_cut(self, limit: anyio.CancelScope | None) -> bool:
        cut = limit is not None and limit.cancelled_caught
        if cut:
            self.stop(TIME_IS_UP)
        return cut


async def _prepared(prepare: Callable[[Any], Any], item: LLMWorkItem[Any]) -> LLMWorkItem[Any]:
    prepared = await awaited(prepare(item))
    if not isinstance(prepared, LLMWorkItem) or prepared.id != item.id:
        raise TypeError(f"prepare_item must return an LLMWorkItem with the id {item.id!r}, not {prepared!r}")
    return checked(prepared)
