"""One run's control of time and threads: who runs now and, when no thread can run, what time comes next.

The thread that starts the run is the *scheduler*. Threads the program starts go one at a time:
each waits for the baton, and gives it back to the scheduler when it blocks or ends. So at any
moment exactly one thread of the run runs, and time moves only when none can.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, TypedDict, Unpack, final

from ..clock import ClockFrom, format_duration
from .await_chain import Suspended
from .blocked_tasks import stuck_thread
from .budgets import CPU_SECONDS_WITHOUT_PROGRESS, STEPS_WITHOUT_PROGRESS, CpuBudget
from .busy_loops import spinning
from .choices import CALLBACKS, Chooser, Level
from .deadlines import Deadlines
from .deadlock_reports import StuckTaskMonitor, deadlock, with_stuck_tasks
from .errors import Deadlock, RunOver, RunStopped, ThreadStuck, TimeBudgetSpent
from .garbage import Garbage
from .origin import Place, place_of_frame, place_of_function
from .processes import Process, current_process
from .real_time_waits import came_back, real_time_passed
from .run_members import RunMembers
from .run_threads import Engine, RunThread, holds_a_real_lock, in_a_loop, outsiders
from .stalls import chosen_deadline, chosen_stall
from .step_watch import StepWatch, place_of_task
from .timers import Timer, Timers
from .witness import What, Witness

_GLANCES: Final = 20
_GLANCE_OUTSIDE: Final = 0.01
QUESTIONS_AT_ONE_INSTANT: Final = 10_000
"""So many times the run's threads may ask without success and without waiting before a nanosecond passes."""

_STEPS_PER_QUESTION: Final = 3
"""To wait with `sleep(0)` switches threads, which costs the CPU time of three to ten steps."""

PATIENCE: Final = 20.0
"""Real seconds a thread of the run may go without blocking or ending."""

_GLANCE: Final = 0.01

DEFAULT_LEVEL: Final = Level()


class SchedulerOptions(TypedDict, total=False):
    """How a run is made; what they mean is said at `Scheduler.resume`."""

    chooser: Chooser | None
    level: Level
    step_budget: int
    cpu_seconds: float
    cpu_spent_at: int | None
    quiet_at: int
    attentive: bool
    interrupting: bool


def _unheard(*_: object) -> None:
    """Do nothing: the default listener."""


@final
class Scheduler(RunMembers):
    """Hands the baton round and moves virtual time."""

    def __init__(self, timers: Timers) -> None:
        self.renew(timers)

    def renew(self, timers: Timers, **options: Unpack[SchedulerOptions]) -> None:
        """Begin another run on this thread: FIFO, or in orders that a chooser picks within a level."""
        self._begin()
        self.resume(timers, **options)

    def resume(
        self,
        timers: Timers,
        *,
        chooser: Chooser | None = None,
        level: Level = DEFAULT_LEVEL,
        step_budget: int = STEPS_WITHOUT_PROGRESS,
        cpu_seconds: float = CPU_SECONDS_WITHOUT_PROGRESS,
        cpu_spent_at: int | None = None,
        quiet_at: int = 0,
        attentive: bool = False,
        interrupting: bool = False,
    ) -> None:
        """Begin another run beside threads and event loops that outlive the last one.

        `quiet_at` is the instant from which on the step budget counts while time passes.
        """
        self.timers = timers
        self.began = timers.now()
        """The instant at which this run began."""
        self.step_budget = step_budget
        self.cpu_budget = CpuBudget(cpu_seconds, cpu_spent_at)
        self.quiet_at = self.began + quiet_at
        self.chooser = chooser
        self.level = level
        self.interrupting = interrupting
        """Whether the chooser is asked for an interruption."""
        self._nothing_happened_yet()
        self.watch: StepWatch | None = None
        """Sees every step, if the run has something to look at."""
        self.engine: Engine | None = None
        self._next: RunThread | None = None
        """The thread to which the one that gives the baton back hands it on."""
        self._main_interrupted = False
        self._steps_at_half: int | None = None
        self._lookout = StuckTaskMonitor()
        self._garbage = Garbage()
        self.stopped_by: RunStopped | None = None
        """Why the run was stopped first, if it was."""
        seen = (lambda: self.engine), self._threads, self._asleep
        self.witness = Witness(ClockFrom(timers), *seen, attentive=attentive)
        """What is noted for a report."""
        self._asked_at = 0
        self._asked = 0
        self._asked_in_row = 0
        self._numbers: Counter[str] = Counter()
        self.over = False
        """Whether the run has ended; its threads unwind then."""
        self.closes_coroutines = False
        """Whether the engine closes what will not end: in a run that was stopped nothing waits then."""
        self.has_processes = False
        """Whether parts of the program stand for processes of their own."""

    def _nothing_happened_yet(self) -> None:
        """Forget what an earlier run listened to, and what was cut in it."""
        self.stalled: Callable[[int, bool], object] = _unheard
        """Called for each stall with the instant at which it began, and whether it passed a far deadline."""
        self.deadlines: Deadlines | None = None
        """Those that the program set, if one of them may pass in this run."""
        self._deadline_passed = False
        self.offers: dict[object, Callable[[], object]] = {}
        """Called by an engine between two steps, and when nothing can run: each may cancel something."""
        self.interrupted = False
        """Whether the program has been interrupted."""
        self.plain = False
        """Whether `main` is a plain function, which runs in no event loop."""
        self.turns = 0
        """How often a thread has had the baton."""
        self.cutting: Callable[[], object] = _unheard
        """Called just before the program is interrupted."""
        self.cancelled: Callable[[object], object] = _unheard
        """Called with each task that is cancelled."""
        self.step_blocked: Callable[[int], object] = _unheard
        """Called when time has passed within one step of an event loop, with the instant of its beginning."""

    @property
    def elapsed(self) -> int:
        """How much virtual time has passed since the run began."""
        return self.timers.now() - self.began

    @property
    def steps(self) -> int:
        """How many steps the run has taken: those of its engine or, without one, the turns of threads."""
        return self.turns if self.engine is None else self.engine.steps

    # -- who is who ------------------------------------------------------------------------

    def number(self, kind: str) -> int:
        """Number the things of one kind that the run makes, from 1, in the order they are made."""
        self._numbers[kind] += 1
        return self._numbers[kind]

    # -- blocking and waking ---------------------------------------------------------------

    def wait(self, what: What, *, until: int | None = None) -> bool:
        """Block the calling thread until it is woken; False if the instant `until` came first.

        `what` says in a report what it waits for, or makes the description when it is needed.

        Raises:
            Deadlock: no thread can run and nothing is due (raised on the scheduler thread).
            RunOver: the run has ended (raised on the other threads).
            RunStopped: the run was stopped, and its engine closes what is left.
        """
        me = self.here()
        if self.over and me is not self._main:
            raise RunOver
        if self.closes_coroutines and self.stopped_by is not None:
            raise self.stopped_by  # a `finally` may wait for a thread that never ends
        if self.watch is not None and me is self._main:
            self.watch.blocks(self.witness.who_runs())
        me.woken = False
        timed_out: list[bool] = []
        timer = None if until is None else self.timers.call_at(until, lambda: self._time_out(me, timed_out))
        self._asleep[me] = what
        try:
            self._give_way(me)
        finally:
            del self._asleep[me]
            if timer is not None:
                timer.cancel()
        return not timed_out

    def _time_out(self, thread: RunThread, timed_out: list[bool]) -> None:
        if not thread.woken:
            timed_out.append(True)
            self.wake(thread)

    def sleep(self, ns: int) -> None:
        """Block the calling thread for so long in virtual time."""
        self.wait("time.sleep", until=self.timers.now() + (ns or self._spun()))

    def asked_in_vain(self) -> None:
        """The calling thread asked for something and did not wait for it: no time passes, unless it spins."""
        if self._spun():
            self.sleep(1)

    def others_wait_for_a_turn(self) -> bool:
        """Whether another thread of the run could go on now."""
        return bool(self._ready)

    def next_turn(self) -> int | None:
        """When something else of the run goes on if the calling thread waits; `None` if nothing does."""
        self.timers.take_back()
        on_main = self.here() is self._main
        if self._ready or (not on_main and self._main_can_go_on()):
            return self.timers.now()
        return None if on_main and not self._alive else self.timers.next_due()

    def _spun(self) -> int:
        """1 after so many unsuccessful questions at one instant, else 0: how many nanoseconds are to pass.

        A loop that only ever asks would stop time; that of `concurrent.futures.as_completed`
        does so at the very instant of its time-out. One that goes on asking is stopped.
        """
        now = self.timers.now()
        if self._asked_at != now:
            self._asked_in_row = self._asked_in_row + self._asked if now == self._asked_at + 1 else 0
            self._asked_at, self._asked = now, 0
        self._asked += 1
        if (self._asked_in_row + self._asked) * _STEPS_PER_QUESTION > self.step_budget:
            self._asked_in_row = self._asked = 0
            raise spinning(
                self, sys._getframe(1), "a loop that asks again and again: let time pass by a sleep"
            )
        return self._asked > QUESTIONS_AT_ONE_INSTANT

    def wake(self, thread: RunThread) -> None:
        """Let a waiting thread go on when its turn comes."""
        if thread.woken or thread not in self._asleep:
            return
        thread.woken = True
        if thread is not self._main:
            self._make_ready(thread)

    def _give_way(self, me: RunThread) -> None:
        if in_a_loop():  # the loop of this thread makes no step until the thread goes on
            self.timers.take_back()
        if me is not self._main:
            self._give_back(me)
            me.park()
            if self.over:
                raise RunOver
            return
        began = self.timers.now()
        while not me.woken:
            if self.plain:
                self._between_turns()
            if not me.woken:
                self.let_time_pass()
                self.fire_due()
        if self.plain:
            self._main_may_go_on()
        if self.timers.now() > began and in_a_loop():
            self.step_blocked(began)

    def _between_turns(self) -> None:
        """A plain `main` waits: do what an engine does between two steps."""
        if in_a_loop():
            return
        self.make_offers()
        if self._ready and self.level.stalls:
            self.stall()
            self.fire_due()

    def _main_may_go_on(self) -> None:
        """A plain `main` can go on: time may pass before that, and other threads may go first."""
        if self.chooser is None or in_a_loop():
            return
        if self.level.stalls:
            self.stall()
            self.fire_due()
        self._let_threads_go_first()

    def may_switch(self) -> None:
        """Let another thread of the run go on here instead of the calling one, if the chooser says so.

        Real threads may be switched anywhere. The points that are explored are those at which threads
        meet: locks, and with them events, conditions, queues and the start of a thread.
        """
        me = self.here()
        others = self._ready or (me is not self._main and self._main_can_go_on())
        if self.chooser is None or self.over or not others or holds_a_real_lock(sys._getframe(1)):
            return
        if me is self._main:
            self._let_threads_go_first()
        else:
            self._let_another_go_first(me, self.chooser)

    def _let_threads_go_first(self) -> None:
        while self._ready and self.chooser is not None:
            ready = [thread.number for thread in self._ready]
            at = self.chooser.choose("switch", 1 + len(ready), [CALLBACKS, *ready])
            if not at:
                return
            if self.watch is not None:
                self.watch.blocks(self.witness.who_runs())
            before, self._main_interrupted = self._main_interrupted, True
            try:
                self._run(self._take_ready(at - 1))
            finally:
                self._main_interrupted = before

    def _let_another_go_first(self, me: RunThread, chooser: Chooser) -> None:
        who = [me.number, *(thread.number for thread in self._ready)]
        if self._main_can_go_on():
            who.append(CALLBACKS)
        at = chooser.choose("switch", len(who), who)
        if not at:
            return
        if who[at] != CALLBACKS:
            self._next = self._take_ready(at - 1)
        self._make_ready(me)
        self._give_way(me)

    def _take_ready(self, at: int) -> RunThread:
        thread = self._ready[at]
        del self._ready[at]
        return thread

    def _make_ready(self, thread: RunThread) -> None:
        if thread.process is not None and not thread.process.lets(lambda: self._add_ready(thread)):
            return
        self._add_ready(thread)

    def _add_ready(self, thread: RunThread) -> None:
        self._ready.append(thread)
        if self.engine is not None:
            self.engine.soon(self.run_a_thread)

    # -- the scheduler thread's side --------------------------------------------------------------

    def run_a_thread(self) -> bool:
        """Let the next ready thread run until it blocks or ends; False when none is ready."""
        if not self._ready:
            return False
        at = 0
        if self.chooser is not None and len(self._ready) > 1:
            at = self.chooser.choose("run", len(self._ready), [thread.number for thread in self._ready])
        self._run(self._take_ready(at))
        return True

    def stall(self, deadlines: Sequence[int] = ()) -> None:
        """Let virtual time pass inside the program, past some of the next deadlines, if the chooser says so.

        `deadlines` are instants that the timers do not include.
        """
        if self.chooser is None:
            return
        deadlines_ahead = self.deadlines
        if deadlines_ahead is not None and deadlines_ahead.known and not self._deadline_passed:
            until = chosen_deadline(self.chooser, deadlines_ahead, self.timers.now())
            if until is not None:
                self._deadline_passed = True
                self._pass_time(until, far=True, lost=True)
                return
        chosen = chosen_stall(self.chooser, self.timers, deadlines)
        if chosen is not None:
            until, is_pause = chosen
            self._pass_time(until, far=False, lost=is_pause)

    def _pass_time(self, until: int, *, far: bool, lost: bool) -> None:
        """Let time pass inside the program; the run and its own deadline get back what is `lost`."""
        began = self.timers.now()
        if lost and self.deadlines is not None:
            self.deadlines.postpone(until - began)
        if lost and self.timers.limit is not None:
            self.timers.limit += until - began
        self.timers.advance(until)
        self.stalled(began, far)

    def make_offers(self) -> None:
        """Let each of the offers be taken now, if the chooser says so."""
        for offer in list(self.offers.values()):
            offer()

    def may_interrupt(self, waits: Callable[[], object], interrupt: Callable[[], object]) -> None:
        """Interrupt the program at an instant at which `main` waits, if the chooser says so, once."""

        def offer() -> None:
            if waits() and self.chooser is not None and self.chooser.choose("interruption", 2, ()):
                del self.offers[offer]
                self.interrupted = True
                self.cutting()
                interrupt()

        if self.chooser is not None and self.interrupting:
            self.offers[offer] = offer

    def in_order(self) -> None:
        """From here on the order is FIFO and no chooser is asked: the run is being ended."""
        self.chooser = self.watch = None
        self.offers.clear()

    def who_is(self, number: int) -> str:
        """What a report calls the entity that a chooser knows by its number."""
        if number == CALLBACKS:
            return "the main thread" if self.engine is None else "plain callbacks"
        if number < 0:
            return next((thread.name for thread in self._alive if thread.number == number), "a thread")
        return (self.engine.name_of(number) if self.engine is not None else None) or f"task {number}"

    def place_of(self, number: int) -> Place | None:
        """Where the entity that a chooser knows by its number goes on; `None` if it has not begun."""
        if number < 0 or (number == CALLBACKS and self.plain):
            thread = next((each for each in self._alive if each.number == number), self._main)
            return place_of_frame(sys._current_frames().get(thread.ident)) or thread.begins
        tasks = () if self.engine is None else self.engine.suspended(prospects=False)
        name = self.who_is(number)
        return next((place_of_task(each.coro) for each in tasks if each.name == name), None)

    def _run(self, thread: RunThread) -> None:
        """Let a thread run, and those to which the baton is handed on, until one gives it back."""
        following: RunThread | None = thread
        while following is not None:
            self._run_one(following)
            following, self._next = self._next, None

    def _run_one(self, thread: RunThread) -> None:
        thread.turn += 1
        self.turns += 1
        watched = self.watch and self.watch.turn_of(thread)
        try:
            thread.go()
            back = came_back(self._main, thread) if self.paced else self._main.park(timeout=PATIENCE)
        except BaseException:
            self._settle(thread)
            raise
        if not back and self.paced:
            self._threads.pop(thread.ident, None)
            del self._alive[thread]
        elif not back:
            self.over = True
            del self._alive[thread]
            raise ThreadStuck(stuck_thread(thread.name, thread.ident, PATIENCE))
        if watched:
            watched()

    def _settle(self, thread: RunThread) -> None:
        """Ctrl-C struck while `thread` had the baton, or just after: see that it has come back."""
        for _ in range(int(PATIENCE / _GLANCE)):
            if thread.given_back == thread.turn:
                break
            self._main.park(timeout=_GLANCE)
        self._main.park(timeout=0)

    def _give_back(self, me: RunThread) -> None:
        turn = me.turn
        self._main.go()
        me.given_back = turn

    def let_time_pass(self) -> None:
        """Nothing on the scheduler thread can run: run another, or move time to what is due next.

        Raises:
            Deadlock: there is nothing to wait for.
            TimeBudgetSpent: the next instant lies past the budget.
        """
        timers = self.timers
        if self.run_a_thread() or (timers.idle is not None and timers.idle()):
            return
        due = timers.next_due()
        if due is None:
            strangers = outsiders(self._threads)
            if strangers and (self._heard_from_outside() or self.paced):
                return
            tasks, threads = self._suspended(), self.witness.blocked_threads()
            raise self.stopped(deadlock(tasks, threads, strangers, now=self.elapsed))
        if self.cpu_budget.is_spent() and self.stopped_by is None:
            reason = self.stopped(self.cpu_budget.error(self.elapsed))
            reason.cpu_spent_at = self.cpu_budget.advances
            raise reason
        if timers.limit is not None:
            if self.elapsed >= self._lookout.next_look:
                self._look_out()
            self._keep_to_budget(due, timers.limit)
        if self.witness.quiet is not None:
            self.witness.quiet.moves_to(due - self.began)
        if self.paced:
            due = timers.now() + real_time_passed(self._main, due - timers.now(), self._can_go_on)
        timers.advance(due)

    def _heard_from_outside(self) -> bool:
        """Wait for a moment of real time: a thread outside the run may still post to the engine."""
        for _ in range(_GLANCES):
            if self._can_go_on():
                return True
            self._main.park(timeout=_GLANCE_OUTSIDE)
        return False

    def _can_go_on(self) -> bool:
        return self._main.woken or bool(self._ready) or self._main_can_go_on()

    def _main_can_go_on(self) -> bool:
        # While the main thread blocks within a step, what is posted to its engine cannot run.
        if self._main in self._asleep:
            return self._main.woken
        if self._main_interrupted:
            return True
        return self.engine is not None and self.engine.pending()

    def put_off_limit(self, until: int) -> None:
        """Let the budget of virtual time end at an instant, if it would end before."""
        if self.timers.limit is not None and until > self.timers.limit:
            self.timers.limit = until
            self._steps_at_half = None

    def _keep_to_budget(self, due: int, limit: int) -> None:
        steps = self.steps
        if (due - self.began) * 2 > limit - self.began and self._steps_at_half is None:
            self._steps_at_half = steps
        if due > limit:
            self.timers.limit = None
            self.timers.advance(limit)
            reason = self.stopped(
                TimeBudgetSpent(
                    f"the run went past {format_duration(limit - self.began)} of virtual time",
                    late_steps=steps - (self._steps_at_half or 0),
                )
            )
            if isinstance(reason, TimeBudgetSpent):
                reason.blocked += (f"  the next timer is due at {format_duration(due - self.began)}",)
            raise reason

    def stopped(self, reason: RunStopped) -> RunStopped:
        """Note why the run is stopped, and what was blocked then; the first reason counts.

        A spent budget is a deadlock after all if `main` could not have gone on.
        """
        if self.stopped_by is None:
            if not isinstance(reason, Deadlock):
                reason = with_stuck_tasks(reason, self._suspended(), now=self.elapsed)
                reason.blocked += self.witness.blocked_threads()
            self.stopped_by = reason
            self.witness.failures.close()
        return self.stopped_by

    def _look_out(self) -> None:
        found = self._lookout.look(self._suspended(), now=self.elapsed)
        if found is not None:
            found.blocked += self.witness.blocked_threads()
            raise self.stopped(found)

    def fire_due(self) -> None:
        """Fire what is due by now; timers of an event loop go to that loop."""
        while (entry := self.timers.pop_due()) is not None:
            if isinstance(entry, Timer):
                entry.fire()
            else:
                entry._loop.adopt(entry)

    # -- the run's other threads ---------------------------------------------------------------

    def wait_for_threads(self) -> None:
        """Let all threads but daemons come to their end, as Python does when `main` has come to its own.

        Raises:
            RunStopped: one of them cannot, or may not, go on.
        """
        while not all(thread.daemon or thread.lasting for thread in self._alive):
            self.let_time_pass()
            self.fire_due()

    def gated(
        self,
        name: str,
        body: Callable[..., object],
        *,
        daemon: bool = False,
        target: Callable[..., object] | None = None,
    ) -> Callable[..., None]:
        """What a new thread of the run is to do instead of `body`: the same, when its turn comes.

        `target` is the function of the program that the thread is made for.
        """
        self._started += 1
        process = current_process.get()
        begins = place_of_function(target)
        thread = RunThread(name, -self._started, daemon=daemon, begins=begins, process=process)
        thread.lasting = self.outlives()

        def run(*args: object) -> None:
            thread.park()
            thread.ident = threading.get_ident()
            self._threads[thread.ident] = thread
            current_process.set(process)
            try:
                with suppress(RunOver):
                    body(*args)
            except BaseException:
                if process is None or process.state != "crashed":
                    raise  # what has crashed may have been anywhere, also in the start of its thread
            finally:
                self._threads.pop(thread.ident, None)
                if thread in self._alive:  # else the scheduler has given it up, and does not wait for it
                    del self._alive[thread]
                    self._give_back(thread)

        self._alive[thread] = None
        self._make_ready(thread)
        return run

    def drop_threads(self, process: Process) -> None:
        """The threads of a process that has crashed run no more until the run is over and they unwind."""
        self._ready = deque(thread for thread in self._ready if thread.process is not process)
        for thread in self._alive:
            if thread.process is process:
                thread.daemon = True  # what has crashed is not waited for

    def close(self, *, all_threads: bool = True) -> None:
        """End the run: threads that still wait unwind, one after the other.

        Those that outlive a test go on waiting unless `all_threads` is true.

        Raises:
            ThreadStuck: one of them did not; the others have ended all the same.
        """
        self.over = True
        self.watch = None
        self.stalled = self.step_blocked = self.cutting = _unheard
        self.cancelled = _unheard
        self.engine = self.deadlines = None  # with them the whole run would grow old as garbage
        stuck: ThreadStuck | None = None
        while ending := [thread for thread in self._alive if all_threads or not thread.lasting]:
            try:
                self._run(ending[0])
            except ThreadStuck as error:
                stuck = stuck or error
        self._ready = deque(thread for thread in self._ready if thread in self._alive)
        self.over = not self.holds_something()
        if stuck is not None:
            raise stuck

    # -- descriptions ---------------------------------------------------------------------------

    def _suspended(self) -> list[Suspended]:
        """The tasks, to be reported on; nothing if the run was stopped before."""
        if self.engine is None or self.stopped_by is not None:
            return []
        tasks = self.engine.suspended()
        self._garbage.collect()
        return tasks

    def __repr__(self) -> str:
        return f"<Scheduler at {format_duration(self.timers.now())}, {len(self._alive)} threads beside main>"
