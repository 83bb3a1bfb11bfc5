"""An asyncio event loop in virtual time: no real sockets, exact deadlocks.

All private names of asyncio that wavetank touches are touched here and checked at import:
`BaseEventLoop._run_once` is replaced by one that runs until the loop is stopped, and
handles are run through `Handle._run`.
"""

from __future__ import annotations

import asyncio
import math
import sys
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from itertools import count
from typing import Any, Final

from ..clock import SECOND, after_delay, format_duration
from .asyncio_handles import (
    CountedFuture,
    CountedTask,
    EngineStep,
    Posted,
    QuicklyPosted,
    TimerPosted,
    called_in_reports,
    can_run,
    name_of_callback,
    name_of_running_task,
    watched_step,
)
from .asyncio_sockets import SocketMethods
from .await_chain import Suspended
from .budgets import StepBudget
from .busy_loops import read_by_program
from .deadlines import AsyncioDeadlines
from .dropped_frames import drop_frames
from .errors import RunStopped
from .leftover_coroutines import close_or_keep
from .nested_runs import nesting_is_allowed, run_nested
from .primitive_facts import tasks_to_cancel
from .private_names import require
from .processes import Process, process_of
from .ready_queue import ReadyQueue
from .refused_io import NO_SELECTOR, REAL_INPUT_OUTPUT, SIGNALS, refusal
from .run_threads import RunThread
from .scheduler import Scheduler
from .unseen_errors import ended
from .virtual_files import virtual_file

for _owner, _names in (
    (asyncio.BaseEventLoop, ("_run_once", "_timer_handle_cancelled", "_process_events", "_write_to_self")),
    (events.Handle, ("_run", "_callback", "_args", "_context", "_cancelled", "_source_traceback")),
    (asyncio.format_helpers, ("_format_callback_source",)),
    (events, ("_get_running_loop", "_set_running_loop")),
):
    require(
        _owner,
        *_names,
        of=f"asyncio of Python {sys.version.split()[0]}",
        supported="use a Python that wavetank supports (3.11 to 3.14)",
    )

_EAGER: Final = getattr(asyncio, "eager_task_factory", object())
"""The task factory that Python 3.12 brought."""

_RUN_UNTIL: Final = getattr(asyncio.base_events, "_run_until_complete_cb", object())
"""The callback that ends the loop when its task has ended."""


class SimulatedLoop(SocketMethods):
    """Runs callbacks in plain FIFO order; when none is ready its scheduler lets time pass.

    `progress` says that something came to an outcome: the step budget counts from the last time.
    """

    __getattribute__ = object.__getattribute__  # in a run that of other loops is replaced
    _nest_patched = True  # else nest_asyncio replaces the inside of the loop

    def __init__(self, scheduler: Scheduler, *, step_budget: int | None = None) -> None:
        super().__init__()
        self.scheduler = scheduler
        self.timers = scheduler.timers
        self.lasting = False
        """Whether it outlives the test in which it runs."""
        self._steps = 0
        self._callbacks: deque[events.Handle] = deque()
        self._ready_to_choose = ReadyQueue()
        chosen = scheduler.chooser is not None and scheduler.level.order != "fifo"
        self._post: Callable[[Any], object] = self._ready_to_choose.post if chosen else self._callbacks.append
        self.next_number = count(1).__next__
        """Numbers the loop's tasks, futures and scopes in the order they are made."""
        self.next_task = count(1).__next__
        """Numbers the loop's tasks in the order they are made."""
        self._budget = StepBudget(step_budget or scheduler.step_budget, scheduler.timers, scheduler.quiet_at)
        self._step_limit = self._budget.limit
        self._sleeper: RunThread | None = None
        self._reset: list[Any] = []
        """The transports of processes that have crashed."""
        self._deadlines: AsyncioDeadlines | None = None
        self._nested: list[asyncio.Future[Any]] = []
        self._clock_resolution = 1 / SECOND

    _selector = NO_SELECTOR

    @property
    def steps(self) -> int:
        """How many callbacks it has run."""
        return self._steps

    def progress(self) -> None:
        """Count the steps of the budget from here."""
        self._budget.renew(self._steps)
        self._step_limit = self._budget.limit

    def stop_soon(self) -> None:
        """Make no more steps until the run is ended."""
        self._budget.exhaust()
        self._step_limit = self._budget.limit

    # -- what asyncio asks of a loop -------------------------------------------------

    def time(self) -> float:
        read_by_program(self.scheduler)
        return self.timers.seconds()

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.Handle:
        if callback is ended:
            return self.scheduler.witness.task_ended(args[0])  # type: ignore[no-any-return]
        if self._closed or self._debug:
            self._check_closed()
            handle = Posted(callback, args, self, context)
        else:
            handle = QuicklyPosted(callback, args, self, context)
        if self.scheduler.has_processes and not self._may_run(handle):
            return handle
        self._post(handle)
        if self._sleeper is not None:
            self.scheduler.wake(self._sleeper)
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.scheduler.witness.failures.never_retrieved(context, self.timers.now())
        super().call_exception_handler(context)

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        if delay == math.inf:
            return self._never(callback, args, context)
        return self._call_at_ns(self.timers.now() + after_delay(delay), callback, args, context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        if when == math.inf:
            return self._never(callback, args, context)
        return self._call_at_ns(self.timers.instant_to_call(when), callback, args, context)

    def _never(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> events.TimerHandle:
        """A timer that is never due, as `anyio.sleep_forever` asks for; a deadlock does not wait for it."""
        self._check_closed()
        return events.TimerHandle(math.inf, callback, args, self, context)

    def _call_at_ns(
        self, when: int, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> events.TimerHandle:
        self._check_closed()
        handle = TimerPosted(when / SECOND, callback, args, self, context)
        self.timers.push(when, handle)
        if self._deadlines is not None:
            self._deadlines.note(when, handle)
        return handle

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:
        self._check_closed()
        if self._task_factory is None:
            return CountedTask(coro, loop=self, **options)
        if self._task_factory is _EAGER:
            return CountedTask(coro, loop=self, eager_start=True, **options)
        return super().create_task(coro, **options)

    def create_future(self) -> asyncio.Future[Any]:
        future = CountedFuture(loop=self)
        future._number = self.next_number()
        return future

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """`Timers` drops cancelled timers when they come up."""

    def _process_events(self, event_list: object) -> None:
        """There is no selector."""

    def _write_to_self(self) -> None:
        """There is no selector to wake."""

    # -- what the scheduler asks of it ------------------------------------------------------

    def adopt(self, handle: events.TimerHandle) -> None:
        """Take a timer that is due; a closed loop lets it fall."""
        if not self.is_closed() and (not self.scheduler.has_processes or self._may_run(handle)):
            self._add(handle)

    def _may_run(self, handle: events.Handle) -> bool:
        """Whether the simulated process of a handle lets it run now; it may let it run later."""
        process = process_of(handle._context)
        return process is None or process.lets(lambda: None if handle._cancelled else self._add(handle))

    def drop(self, process: Process) -> None:
        """Let go of the tasks of a process that has crashed: none of its code runs any more."""
        for handle in (*self._callbacks, *self._ready_to_choose, *self.timers):
            if isinstance(handle, events.Handle) and _is_of(process, handle):
                handle.cancel()
        for transport in [*self._transports.values()]:
            if _abort_without_notice(transport, process):
                self._reset.append(transport)
        for task in self._left():
            running = task is asyncio.current_task(self)
            if isinstance(task, CountedTask) and task.process is process and not running:
                self.scheduler.cancelled(task)
                drop_frames(task.get_coro())
                asyncio.Future.cancel(task)

    def pending(self) -> bool:
        """Whether a callback is ready."""
        return bool(self._callbacks or self._ready_to_choose.who)

    def soon(self, callback: Callable[[], object]) -> None:
        """Run `callback` in a step of its own."""
        self._add(EngineStep(callback, (), self, None))

    def suspended(self, *, prospects: bool = True) -> list[Suspended]:
        """The tasks that have not ended, in creation order."""
        if not prospects:
            return [Suspended(called_in_reports(one), one, one.get_coro()) for one in self._left()]
        due = {id(task) for timer in self.timers for task in tasks_to_cancel(timer)}
        return [
            Suspended(
                called_in_reports(one), one, one.get_coro(), can_run(one) or id(one) in due, _is_main(one)
            )
            for one in self._left()
        ]

    def _left(self) -> list[asyncio.Task[Any]]:
        """The tasks that have not ended, in creation order."""
        return sorted((task for task in asyncio.all_tasks(self) if not task.done()), key=hash)

    def name_of(self, number: int) -> str | None:
        """The name of the task with this number, if it is alive."""
        alive = asyncio.all_tasks(self)
        return next((called_in_reports(task) for task in alive if getattr(task, "number", 0) == number), None)

    def awaits_of_running(self) -> Callable[[], tuple[object, ...]] | None:
        """What the running task awaits; a future counts twice, before and after it is done."""
        task: Any = asyncio.current_task(self)

        def awaits() -> tuple[object, ...]:
            waiter = task._fut_waiter
            return () if waiter is None else (waiter, waiter.done())

        return None if task is None else awaits

    def watch_steps(self) -> None:
        """The scheduler's watch is asked for at every step."""

    name_of_running = staticmethod(name_of_running_task)

    def _add(self, handle: events.Handle) -> None:
        self._post(handle)
        if self._sleeper is not None:
            self.scheduler.wake(self._sleeper)

    # -- running ----------------------------------------------------------------------

    def _run_once(self) -> None:
        """Run batch after batch; as in asyncio, the batch in which the loop is stopped runs to its end."""
        scheduler, timers = self.scheduler, self.timers
        posted, can_run = self._callbacks, self._ready_to_choose.who
        while True:
            if scheduler.offers:
                scheduler.make_offers()
            chosen, level = scheduler.chooser is not None, scheduler.level
            if chosen and level.stalls and (can_run or posted or timers.is_due()):
                scheduler.stall()
            if timers.may_be_due():
                self._take_due()
            if not can_run and not posted and not self._stopping:
                self._idle()
                continue
            if chosen and level.order != "fifo":
                self._run_chosen()
            else:
                self._run_batch()
            if self._stopping:
                return

    def run_forever(self) -> None:
        try:
            super().run_forever()
        finally:
            self.timers.take_back()

    def run_until_complete(self, future: Any) -> Any:
        if self.is_running() and nesting_is_allowed():
            return run_nested(self, self._nested, future)
        if not (self.scheduler.plain and isinstance(future, asyncio.Task)):
            return super().run_until_complete(future)
        self._let_deadlines_pass(future)
        try:
            return super().run_until_complete(future)
        finally:
            if self.scheduler.deadlines is self._deadlines:
                self.scheduler.deadlines = None
            self._deadlines = None

    def stop(self) -> None:
        self.stop_asked = True
        super().stop()

    def _run_batch(self) -> None:
        callbacks, scheduler = self._callbacks, self.scheduler
        if self._ready_to_choose.who:
            callbacks.extendleft(reversed(self._ready_to_choose.release()))
        for _ in range(len(callbacks)):
            try:
                handle = callbacks.popleft()
            except IndexError:  # a nested run has taken the rest
                break
            if self._steps >= self._step_limit:
                self._near_the_end(handle)
            if not handle._cancelled:
                self._steps += 1
                watched = scheduler.watch and watched_step(handle, scheduler.watch)
                try:
                    handle._context.run(handle._callback, *handle._args)
                except BaseException as error:
                    self._failed(handle, error)
                if scheduler.watch is not None:
                    (watched or watched_step(handle, scheduler.watch))()
        handle = None  # type: ignore[assignment] # a traceback of its task leads to this frame

    def _run_chosen(self) -> None:
        """As many steps as a batch has; which they are is chosen, from the batch or from all that can run."""
        callbacks, ready, scheduler = self._callbacks, self._ready_to_choose, self.scheduler
        while callbacks:
            ready.post(callbacks.popleft())
        batch = ready.newest if scheduler.level.order == "batch" else None
        for _ in range(len(ready)):
            if not ready.who:  # a nested run has taken the rest
                break
            handle = ready.choose(scheduler.chooser, batch)
            if self._steps >= self._step_limit:
                self._near_the_end(handle)
            if handle._cancelled:
                continue
            self._steps += 1
            watched = scheduler.watch and watched_step(handle, scheduler.watch)
            try:
                handle._context.run(handle._callback, *handle._args)
            except BaseException as error:
                self._failed(handle, error)
            if scheduler.watch is not None:
                (watched or watched_step(handle, scheduler.watch))()
        ready.ran = handle = None  # a traceback of its task leads to this frame

    def _failed(self, handle: events.Handle, error: BaseException) -> None:
        """Log what a callback raised, as asyncio does; a step of the engine, and an exit, stop the loop."""
        if isinstance(error, (SystemExit, KeyboardInterrupt)) or isinstance(handle, EngineStep):
            raise error
        if self._exception_handler is None:
            name = name_of_callback(handle._callback)
            self.scheduler.witness.failures.callback_failed(name, error, self.timers.now())
        source = asyncio.format_helpers._format_callback_source(handle._callback, handle._args)
        context = {"message": f"Exception in callback {source}", "exception": error, "handle": handle}
        if handle._source_traceback:
            context["source_traceback"] = handle._source_traceback
        self.call_exception_handler(context)

    def _take_due(self) -> None:
        """Make everything that is due ready, in order: the fake's timers are steps like any other."""
        while (entry := self.timers.lend_due()) is not None:
            if isinstance(entry, events.TimerHandle):
                entry._loop.adopt(entry)
            else:
                self.soon(entry.fire)

    def _idle(self) -> None:
        if not self.scheduler.on_main_thread():
            self._sleeper = self.scheduler.here()
            try:
                self.scheduler.wait("an idle event loop")
            finally:
                self._sleeper = None
        else:
            self.scheduler.let_time_pass()

    def _near_the_end(self, handle: events.Handle) -> None:
        """Note who takes the last steps of the budget, and stop the run when it is spent."""
        if self._budget.is_spent(self._steps):
            self._callbacks.appendleft(handle)
            raise self.scheduler.stopped(self._spent())
        self._step_limit = self._budget.limit
        owner = getattr(handle._callback, "__self__", None)
        if isinstance(owner, asyncio.Task):
            self._budget.note(called_in_reports(owner), owner.get_coro())
        else:
            self._budget.note_callback(name_of_callback(handle._callback))

    def _spent(self) -> RunStopped:
        spent = self._budget.error(self._steps)
        self.progress()
        return spent

    # -- what a search may do to the program ------------------------------------------------

    def explored(self, main: asyncio.Task[Any]) -> None:
        """Let deadlines pass and the program be interrupted, if this run is to have that."""
        self._let_deadlines_pass(main)
        coro: Any = main.get_coro()
        self.scheduler.may_interrupt(lambda: coro.cr_suspended, main.cancel)

    def _let_deadlines_pass(self, main: asyncio.Task[Any]) -> None:
        scheduler = self.scheduler
        if scheduler.chooser is not None and scheduler.level.stalls:
            scheduler.deadlines = self._deadlines = AsyncioDeadlines(self.timers, main)

    async def cancel_left(self) -> None:
        """Cancel what `main` has left, and await it, as asyncio's runners do."""
        left = [task for task in self._left() if task is not asyncio.current_task(self)]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.shutdown_asyncgens()

    # -- the end -----------------------------------------------------------------------

    def drain(self, *, step_budget: int = 10_000) -> None:
        """Cancel what is left, let it unwind in virtual time, close coroutines that will not end."""
        self._budget.most, self.timers.limit = step_budget, None
        self.scheduler.in_order()
        left = self._left()
        for task in left:
            task._log_destroy_pending = False
            with suppress(RecursionError):  # asyncio's, of tasks that await one another in a ring
                task.cancel()
        try:
            self.progress()
            if left:
                self.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            self.progress()
            if self._asyncgens or self.pending() or self.timers.may_be_due():
                self.run_until_complete(self.shutdown_asyncgens())
            if self._default_executor is not None:
                self.run_until_complete(self.shutdown_default_executor())
        except RunStopped:
            self._let_go(left)
        for task in left:
            if task.done() and not task.cancelled():
                task.exception()

    def _let_go(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Close the coroutines of tasks that will not end; what they still await finds its loop and task."""
        running = events._get_running_loop()
        events._set_running_loop(self)
        self.scheduler.closes_coroutines = True
        try:
            for task in tasks:
                if not task.done():
                    asyncio.tasks._enter_task(self, task)
                    try:
                        close_or_keep(task.get_coro())
                    finally:
                        asyncio.tasks._leave_task(self, task)
        finally:
            self.scheduler.closes_coroutines = False
            events._set_running_loop(running)

    def let_go(self) -> None:
        """Release the tasks that are left, and of what is still to be run."""
        for task in self._left():
            task._log_destroy_pending = False
        self._let_go(self._left())
        self._callbacks.clear()

    def close(self) -> None:
        """Close the loop, and release all that it holds."""
        if not self.is_closed():
            self._let_go(self._left())
        super().close()
        for transport in (each for each in self._reset if each._sock is not None):
            transport._sock.close()  # the run has ended before the loop came to it
            transport._sock = None
        self._reset.clear()
        self._deadlines = None
        self._ready_to_choose.release()
        self._callbacks.clear()

    def dispose(self) -> None:
        """A loop is closed by the code that made it."""

    def __repr__(self) -> str:
        return f"<SimulatedLoop at {format_duration(self.timers.now())}, {self.steps} steps>"


def _is_of(process: Process, handle: events.Handle) -> bool:
    """Whether a handle runs code of a process."""
    return not isinstance(handle, EngineStep) and process_of(handle._context) is process


def _abort_without_notice(transport: Any, process: Process) -> bool:
    """Reset a connection if it is of a process that has crashed; its protocol hears nothing of it."""
    file = virtual_file(transport._sock_fd)
    if file is None or file.process is not process:
        return False
    transport.set_protocol(asyncio.Protocol())
    Context().run(transport.abort)
    return True


def _is_main(task: asyncio.Task[Any]) -> bool:
    """Whether the loop runs until this task has ended."""
    return any(callback is _RUN_UNTIL for callback, *_ in task._callbacks or ())


for _name in (*REAL_INPUT_OUTPUT, *SIGNALS):
    setattr(SimulatedLoop, _name, refusal(_name))
