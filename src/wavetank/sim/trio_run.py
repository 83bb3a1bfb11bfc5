"""Run a program on trio's own scheduler, in virtual time and in creation order.

All private names of trio that wavetank touches are touched here and checked at import. The
run loop is driven by hand: it reports when nothing can run, and then the scheduler lets time pass.
"""

from __future__ import annotations

import _thread
import inspect
import math
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from typing import Any, Final, NoReturn, final

import trio
from outcome import Error, Outcome
from trio._core import _run as core
from trio.abc import Instrument

from ..clock import SECOND, after_delay, at_instant, format_duration
from .await_chain import Suspended
from .budgets import StepBudget
from .ended import Ended, awaited, stopped
from .errors import RunOver, RunStopped
from .leftover_coroutines import close_or_keep
from .main_thread_watch import watched
from .primitive_facts import due_in_trio
from .private_names import require
from .processes import Process, named_with_process, process_of
from .run_threads import outside_of_loops
from .scheduler import Scheduler
from .stalls import LONGEST_STALL, MOST_DEADLINES
from .task_names import called
from .timers import Timer, in_order, up_to
from .trio_deadlines import TrioDeadlines
from .trio_parts import (
    InOrder,
    NoInputOutput,
    OneByOne,
    VirtualClock,
    Wakeup,
    creation_order,
    drop_tasks,
    library_is_trio,
)
from .trio_watch import EndInstrument, StepInstrument

SUPPORTED: Final = "install a version of trio that wavetank supports (0.30 to 0.35)"

require(
    core,
    "_ALLOW_DETERMINISTIC_SCHEDULING",
    "_r",
    "unrolled_run",
    "setup_runner",
    "Runner",
    "EntryQueue",
    "KIManager",
    "GLOBAL_RUN_CONTEXT",
    "CancelStatus",
    "CancelShieldedCheckpoint",
    of=f"trio {trio.__version__}",
    supported=SUPPORTED,
)

_STEPS_TO_UNWIND: Final = 10_000
_NEARLY: Final = 0.5 / SECOND
_OWN: Final = "a task of trio's own"


@final
class TrioEngine:
    """One run of trio in virtual time: its runner, and what happens between two passes of its loop."""

    def __init__(
        self,
        scheduler: Scheduler,
        *,
        instruments: Sequence[Instrument] = (),
        strict_exception_groups: bool = True,
        step_budget: int | None = None,
    ) -> None:
        if not scheduler.on_main_thread():
            raise RuntimeError("in virtual time trio runs on the main thread of the test only")
        self.scheduler = scheduler
        self._manager = NoInputOutput(self._wait_or_unwind, self._arrange)
        self._budget = StepBudget(step_budget or scheduler.step_budget, scheduler.timers, scheduler.quiet_at)
        self._callbacks: deque[Callable[[], object]] = deque()
        self.run: Generator[float, Any, None] | None = None
        """trio's run loop, once it has started."""
        self._measures = iter((self._cancel, scheduler.close, self._throw))
        self._deadline = math.inf
        self._deadline_timer: Timer | None = None
        self.runner = core.Runner(
            clock=VirtualClock(scheduler),
            instruments=core.Instruments(instruments),
            io_manager=self._manager,
            system_context=core.copy_context(),
            ki_manager=core.KIManager(),
            strict_exception_groups=strict_exception_groups,
            entry_queue=core.EntryQueue(
                wakeup=Wakeup(self.soon),
                lock=_thread.RLock(),
            ),
        )
        self.runner.asyncgens.install_hooks(self.runner)
        self.runner.ki_manager.install(self.runner.deliver_ki, False)
        self._first: int | None = None
        self._called: dict[int, tuple[str, str]] = {}
        """By a task's counter the name it has in trio, and what reports call it."""
        self._one_by_one: OneByOne | None = None
        self.runner.runq = InOrder()
        if scheduler.chooser is not None and scheduler.level.order == "any":
            self._one_by_one = self.runner.runq = OneByOne(scheduler, self._number)
        core.GLOBAL_RUN_CONTEXT.runner = self.runner
        if scheduler.witness.attentive:
            self.runner.instruments.add_instrument(EndInstrument(scheduler.witness.ends, self._name))

    # -- what the scheduler asks of it --------------------------------------------------------

    @property
    def steps(self) -> int:
        """Steps of tasks so far."""
        return self._manager.steps

    def progress(self) -> None:
        """Count the steps of the budget from here."""
        self._budget.renew(self.steps)

    def stop_soon(self) -> None:
        """Let no more steps be made but those in which the tasks unwind."""
        self._budget.exhaust()

    def pending(self) -> bool:
        """Whether a callback or a task is ready."""
        return bool(self._callbacks or self.runner.runq)

    def drop(self, process: Process) -> None:
        """Let go of the tasks of a process that has crashed: none of its code runs any more."""
        for task in [*self.runner.tasks]:
            if process_of(task.context) is process:
                self.scheduler.cancelled(task)
        drop_tasks(self.runner, process)

    def soon(self, callback: Callable[[], object]) -> None:
        """Run `callback` between two passes."""
        self._callbacks.append(callback)

    def suspended(self, *, prospects: bool = True) -> list[Suspended]:
        """The tasks of the program, in creation order."""
        mine = [task for task in self.runner.tasks if not self._is_own(task)]
        mine.sort(key=lambda task: task._counter)
        if not prospects:
            return [Suspended(self._name(one), one, one.coro) for one in mine]
        main, due = self.runner.main_task, due_in_trio(self.runner.deadlines._heap)
        return [
            Suspended(self._name(one), one, one.coro, one._abort_func is None or id(one) in due, one is main)
            for one in mine
        ]

    def _is_own(self, task: trio.lowlevel.Task) -> bool:
        return task is self.runner.init_task or task.name == "<TrioToken.run_sync_soon task>"

    def _name(self, task: trio.lowlevel.Task) -> str:
        """What reports call it; worked out once for each name it is given."""
        known = self._called.get(task._counter)
        if known is None or known[0] != task.name:
            known = self._called[task._counter] = task.name, self._called_so(task)
        return known[1]

    def _called_so(self, task: trio.lowlevel.Task) -> str:
        if task is self.runner.main_task:
            return "main"
        if self._is_own(task):
            return _OWN
        name = called(task.name, task.coro, self._number(task))
        return named_with_process(process_of(task.context), name)

    def name_of(self, number: int) -> str | None:
        """The name of the task with this number, if it is alive."""
        alive = (task for task in self.runner.tasks if self._number(task) == number)
        return next((self._name(task) for task in alive), None)

    def awaits_of_running(self) -> Callable[[], tuple[object, ...]] | None:
        """What the running task awaits, by the function that would call that off."""
        task = getattr(core.GLOBAL_RUN_CONTEXT, "task", None)

        def awaits() -> tuple[object, ...]:
            return () if task is None or task._abort_func is None else (task._abort_func,)

        return None if task is None else awaits

    def watch_steps(self) -> None:
        """Let the scheduler's watch see every step from here on."""
        self.runner.instruments.add_instrument(StepInstrument(self.scheduler, self._name))

    def name_of_running(self) -> str | None:
        """The name of the task that runs now, if one does."""
        task = getattr(core.GLOBAL_RUN_CONTEXT, "task", None)
        return None if task is None else self._name(task)

    def _number(self, task: trio.lowlevel.Task) -> int:
        """Which of the run's tasks it is; trio counts over all runs, and its own first task is 0 here."""
        if self._first is None:
            self._first = (self.runner.init_task or task)._counter
        return int(task._counter - self._first)

    # -- the order --------------------------------------------------------------------------

    def _arrange(self, batch: list[Any]) -> None:
        """Put a batch, which is in creation order, into the order in which it is to run."""
        self._manager.steps += len(batch)
        if self._manager.steps > self._budget.limit:
            for task in batch:
                self._budget.note(self._name(task), task.coro)
        chooser = self.scheduler.chooser
        if len(batch) < 2 or chooser is None or self.scheduler.level.order == "fifo":
            return
        who = [self._number(task) for task in batch]
        for place in range(len(batch) - 1):
            at = chooser.choose("run", len(who), who)
            del who[at]
            if at:
                batch.insert(place, batch.pop(place + at))

    # -- between two passes -----------------------------------------------------------------

    def wait(self, timeout: float) -> tuple[str, ...]:
        """A pass is over and trio would sleep for `timeout` seconds: let time pass, run callbacks.

        What it returns is not empty if `wait_all_tasks_blocked` has to start counting again.

        Raises:
            RunStopped: the run cannot, or may not, go on.
        """
        if self._manager.steps > self._budget.limit and self._budget.is_spent(self._manager.steps):
            raise self.scheduler.stopped(self._spent())
        if self._one_by_one is not None and self._one_by_one.batch:
            return ()
        scheduler, timers = self.scheduler, self.scheduler.timers
        quiet = timers.now() + after_delay(timeout) if self.runner.waiting_for_idle else 0
        if scheduler.offers:
            scheduler.make_offers()
            timeout = 0 if self.pending() else timeout
        if timeout > 0 and not self._callbacks:
            self._idle(quiet)
            if scheduler.offers:
                scheduler.make_offers()
        if scheduler.chooser is not None and scheduler.level.stalls:
            self._stall()
        scheduler.fire_due()
        self._meet_deadlines()
        while self._callbacks:
            self._callbacks.popleft()()
        return ("woken",) if timers.now() < quiet else ()

    def _wait_or_unwind(self, timeout: float) -> tuple[str, ...]:
        """As `wait`; a run that cannot go on is cancelled, so that `trio.run` comes back."""
        try:
            return self.wait(timeout)
        except RunStopped:
            if not self.unwind():
                raise
            return ()

    def dispose(self) -> None:
        """Let a run that did not end unwind, and drop it; trio can start another then."""
        try:
            if self.run is not None:
                self._let_end(self.run)
        finally:
            if getattr(core.GLOBAL_RUN_CONTEXT, "runner", None) is self.runner:
                self.runner.close()
                vars(core.GLOBAL_RUN_CONTEXT).clear()

    def _let_end(self, run: Generator[float, Any, None]) -> None:
        try:
            while inspect.getgeneratorstate(run) == inspect.GEN_SUSPENDED and self.unwind():
                with suppress(StopIteration, RunStopped), library_is_trio():
                    # A thread that polls takes no step of a task: count the passes as well.
                    for _ in range(_STEPS_TO_UNWIND):
                        self.wait(run.send(()))
        finally:
            if inspect.getgeneratorstate(run) == inspect.GEN_SUSPENDED:
                self._let_go()
            with warnings.catch_warnings(action="ignore"):
                run.close()

    def _let_go(self) -> None:
        """Close the coroutines of tasks that will not end; what they still await finds runner and task."""
        left = sorted(self.runner.tasks, key=lambda task: -task._counter)
        with library_is_trio():
            for task in (task for task in left if not self._is_own(task)):
                core.GLOBAL_RUN_CONTEXT.task = task
                close_or_keep(task.coro)

    def unwind(self) -> bool:
        """Take the next harder measure that lets all tasks end, with a small budget; False: none is left."""
        measure = next(self._measures, None)
        if measure is None or self.runner.system_nursery is None:
            return False
        self._budget.most, self.scheduler.timers.limit = _STEPS_TO_UNWIND, None
        self.progress()
        measure()
        return True

    def _cancel(self) -> None:
        self.runner.system_nursery.cancel_scope.cancel()

    def _throw(self) -> None:
        """Raise in each task what no shield holds off, and what no handler of `Cancelled` catches."""

        def over() -> NoReturn:
            raise RunOver

        tasks = sorted(self.runner.tasks, key=lambda task: -task._counter)
        for task in (task for task in tasks if not self._is_own(task)):
            if task._abort_func is not None:
                task._attempt_abort(over)
            elif isinstance(task._next_send, Outcome):
                task._next_send = Error(RunOver())
            elif task._next_send_fn is None and not any(
                nursery.child_tasks for nursery in task.child_nurseries
            ):
                self.runner.reschedule(task, Error(RunOver()))  # it waits for a thread that will not end

    def _stall(self) -> None:
        """Let time pass before the next batch, if there is one; trio's own deadlines count too."""
        now = self.scheduler.timers.now()
        deadlines = self._deadlines(now)
        if self.pending() or self.scheduler.timers.is_due() or (deadlines and deadlines[0] <= now):
            self.scheduler.stall(deadlines)

    # -- what a search may do to the program ------------------------------------------------

    def explored(self) -> None:
        """Let deadlines pass and the program be interrupted, if this run is to have that."""
        self.let_deadlines_pass()
        self.scheduler.may_interrupt(self._main_waits, self._interrupt)

    def let_deadlines_pass(self) -> None:
        """Let those of this run of trio pass, if this run is to have that."""
        scheduler = self.scheduler
        if scheduler.chooser is not None and scheduler.level.stalls:
            scheduler.deadlines = TrioDeadlines(self.runner, scheduler.timers)

    def _main_waits(self) -> bool:
        """Whether `main` waits for something, so that it can be called off."""
        main = self.runner.main_task
        return main is not None and main._abort_func is not None

    def _interrupt(self) -> None:
        """Raise `KeyboardInterrupt` in `main` where it waits, as trio does after Ctrl-C."""
        self.scheduler.cancelled(self.runner.main_task)
        self.runner.ki_pending = True
        self.runner.main_task._attempt_delivery_of_pending_ki()

    def _deadlines(self, now: int) -> list[int]:
        """trio's own deadlines that are due, and those a stall may pass, in order."""
        found: list[int] = []
        ahead = 0
        for deadline, _, scope in in_order(self.runner.deadlines._heap, (now + LONGEST_STALL) / SECOND):
            if deadline != scope._registered_deadline:
                continue
            when = at_instant(max(deadline, 0.0))  # it may be minus infinity
            if not found or when != found[-1]:
                found.append(when)
                ahead += when > now
                if ahead == MOST_DEADLINES:
                    break
        return found

    def _meet_deadlines(self) -> None:
        """Let the clock not be before any deadline that is due: those of one instant are met together."""
        heap, now = self.runner.deadlines._heap, self.scheduler.timers.now() / SECOND
        if not heap or heap[0][0] > now + _NEARLY:
            return
        for deadline, _, _ in up_to(heap, now + _NEARLY):
            if deadline > now:
                self.scheduler.timers.instant_of(deadline)

    def _idle(self, quiet: int) -> None:
        """Let time pass, up to trio's next deadline, or to the instant `quiet` unless that is 0."""
        self._set_deadline(self.runner.deadlines.next_deadline())
        timer = self.scheduler.timers.call_at(quiet, lambda: None) if quiet else None
        try:
            self.scheduler.let_time_pass()
        finally:
            if timer is not None:
                timer.cancel()

    def _set_deadline(self, deadline: float) -> None:
        """Keep trio's next deadline among the timers, so that time does not pass it."""
        if deadline == self._deadline:
            return
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._deadline, self._deadline_timer = deadline, None
        if deadline != math.inf:
            self._deadline_timer = self.scheduler.timers.call_at(
                self.scheduler.timers.instant_of(deadline), self._deadline_passed
            )

    def _deadline_passed(self) -> None:
        self._deadline, self._deadline_timer = math.inf, None

    def _spent(self) -> RunStopped:
        spent = self._budget.error(self.steps)
        self.progress()
        return spent

    def __repr__(self) -> str:
        return f"<TrioEngine at {format_duration(self.scheduler.timers.now())}, {self.steps} steps>"


@final
class PassDriver:
    """Drives an engine by hand, pass by pass."""

    def __init__(self, engine: TrioEngine, async_fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._engine = engine
        self._run = engine.run = core.unrolled_run(engine.runner, async_fn, args)
        self._send: tuple[str, ...] | None = None

    def go(self) -> bool:
        """Run one pass and let time pass if it has to; False when the run is over.

        Raises:
            RunStopped: the run cannot, or may not, go on.
        """
        library = core.sniffio_library  # as `library_is_trio`, which would cost more in each pass
        before, library.name = library.name, "trio"
        try:
            timeout = self._run.send(self._send)
        except StopIteration:
            return False
        finally:
            library.name = before
        self._send = self._engine.wait(timeout)
        return True


Main = Callable[[], Coroutine[Any, Any, Any]]


def run_trio(
    main: Main,
    scheduler: Scheduler,
    *,
    started: Callable[[TrioEngine], object],
    ended: Callable[[Ended], object],
    again: Main | None = None,
) -> Ended:
    """Run `main` on trio; the arguments are those of `run_asyncio`."""

    async def body() -> Ended:
        end = await awaited(main, engine, scheduler)
        scheduler.offers.clear()
        engine.runner.ki_pending = False  # main may have come to its end without another checkpoint
        if scheduler.interrupted and scheduler.stopped_by is None and again is not None and end.error is None:
            end = await awaited(again, engine, scheduler)
        ended(end)
        scheduler.in_order()
        return end

    outside_of_loops()
    engine = scheduler.engine = TrioEngine(scheduler)
    passes = PassDriver(engine, body, ())
    with creation_order():
        try:
            started(engine)
            engine.explored()
            with watched(scheduler):
                while passes.go():
                    pass
        except RunStopped as reason:
            end = stopped(reason, engine.steps)
            ended(end)
            scheduler.in_order()
            engine.dispose()
            return end
        except BaseException:
            engine.dispose()
            raise
    result: Ended = engine.runner.main_task_outcome.unwrap()
    return result
