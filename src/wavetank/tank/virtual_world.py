"""A world in virtual time, and what the process lends it."""

from __future__ import annotations

import sys
from asyncio import AbstractEventLoop
from asyncio import events as asyncio_events
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Final, Protocol, final

from ..checks.disturbances import DEADLINE
from ..clock import HOUR, ClockFrom, after_delay, to_seconds
from ..events import Event
from ..patches.garbage import collect_young
from ..patches.imports import on_import
from ..patches.loops import StandIns, loops_left, stand_ins_under
from ..patches.pools import workers_ended
from ..patches.runners import OwnCurrentLoop, runners_on
from ..patches.virtual import virtual_process
from ..scenario import Scenario, digest, longest_batch, quiet_instant, who_may_meet_all
from ..seams.desk import Desk
from ..seams.errors import OutsideTheTank
from ..seams.sent_requests import Record
from ..sim.asyncio_loop import SimulatedLoop
from ..sim.budgets import CPU_SECONDS_WITHOUT_PROGRESS, STEPS_WITHOUT_PROGRESS
from ..sim.choices import Chooser, Level
from ..sim.origin import Origin, Place, place_of_frame
from ..sim.refused_io import LEAVE_OUT
from ..sim.run_threads import Engine
from ..sim.running_tasks import running_task
from ..sim.scheduler import Scheduler
from ..sim.step_watch import Look, StepWatch, place_of_task
from ..sim.timers import Timers
from ..sim.token import FIFO, Schedule
from .announced_resets import MOST_TIME, AnnouncedResets
from .assembly import Parts, assemble, checked_budget
from .client_waits import VirtualWaits
from .processor_pauses import pauses_logged
from .provider_choices import ProviderChoice
from .unreported import UnreportedAnswers

DEFAULT_BUDGET: Final = 24 * HOUR

IDLE_TIMES_PER_COLLECTION: Final = 2_000


@final
class VirtualWorld:
    """One run's parts in virtual time, and what the process lends it."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        backend: str,
        max_virtual_seconds: float | None = None,
        max_cpu_seconds: float | None = None,
        cpu_spent_at: int | None = None,
        short_limit: int | None = None,
        scheduler: Scheduler | None = None,
        chooser: Chooser | None = None,
        level: Level = FIFO,
        step_budget: int = STEPS_WITHOUT_PROGRESS,
        attentive: bool = True,
        interrupting: bool = False,
    ) -> None:
        self.schedule = Schedule(backend, seed, digest(scenario))
        self._budget = _budget(scenario, max_virtual_seconds)
        self._is_default_budget = max_virtual_seconds is None
        self._short_limit = short_limit
        self.scheduler = scheduler or Scheduler(Timers())
        if self.scheduler.holds_something():
            self.timers, begin = self.scheduler.timers, self.scheduler.resume
        else:
            self.timers, begin = Timers(), self.scheduler.renew
        begin(
            self.timers,
            chooser=chooser,
            level=level,
            step_budget=step_budget,
            cpu_seconds=checked_budget(max_cpu_seconds, "max_cpu_seconds") or CPU_SECONDS_WITHOUT_PROGRESS,
            cpu_spent_at=cpu_spent_at,
            quiet_at=quiet_instant(scenario),
            attentive=attentive,
            interrupting=interrupting,
        )
        self._limit_time()
        self.timers.idle = self._idle
        self.asks: Callable[[Callable[[int], str]], object] | None = None
        """Given a description of the options before a chooser is asked for the provider or the test."""
        self.engines: list[Engine] = [*self.scheduler.lasting_loops]  # type: ignore[list-item]
        self.stand_ins = StandIns(self.new_loop)
        self.current_loop = OwnCurrentLoop()
        self._delivered_at, self._idle_times = -1, 0
        self._all_parts: list[Parts] = []
        self._looks: list[Look] = []
        self._may_meet_all = () if chooser is None else who_may_meet_all(scenario)
        self.parts = self._assembled(scenario, seed)
        self._listen()

    def _assembled(self, scenario: Scenario, seed: int) -> Parts:
        """The parts of the run's provider, which ask this world."""
        return assemble(
            scenario,
            ClockFrom(self.timers) if self.scheduler.began else self.timers,
            VirtualWaits(self.scheduler),
            seed=seed,
            backend=self.schedule.backend,
            origin=self.scheduler.witness.origin,
            scheduler=self.scheduler,
            admit=self._admit,
            progress=self._progress,
            delivered=self._delivered,
            choose=None if self.scheduler.chooser is None else self._choose,
            over=self._over,
        )

    def _listen(self) -> None:
        """Let the parts and the scheduler know of each other."""
        self.scheduler.stalled, self.scheduler.step_blocked = self._stalled, self._blocked
        self.scheduler.cutting = self._interrupted
        self._all_parts.append(self.parts)
        self._unreported = UnreportedAnswers(self.parts.desk.note)
        self.scheduler.cancelled = self._unreported.cancelled
        self.parts.log.listen(self._unreported.entered)
        self.parts.log.listen(AnnouncedResets(self._wait_announced).entered)
        self.parts.tank.budget = self
        self.parts.tank.fleet.world = self
        if self.scheduler.chooser is not None:
            self.parts.tank.own_choices.explorer = self
        invariants = self.parts.tank.invariants
        invariants.watch = lambda: self.watch_steps(invariants.look)

    @property
    def max_virtual_seconds(self) -> float:
        """The budget of virtual time, from the start of the run on; what is set counts at once."""
        return to_seconds(self._budget)

    @max_virtual_seconds.setter
    def max_virtual_seconds(self, seconds: float) -> None:
        self._budget, self._is_default_budget = _budget(self.parts.tank.scenario, seconds), False
        if self.timers.limit is not None:
            self._limit_time()

    def _limit_time(self) -> None:
        self.timers.limit = self.scheduler.began + self._whole_budget()

    def _whole_budget(self) -> int:
        return min(self._budget, self._short_limit or self._budget)

    def _wait_announced(self, nanoseconds: int) -> None:
        """Begin the budget again after a wait that the provider announces; one that a test has set stays."""
        if self._is_default_budget and self.timers.limit is not None:
            until = self.timers.now() + nanoseconds + self._whole_budget()
            self.scheduler.put_off_limit(min(until, self.scheduler.began + MOST_TIME))

    def another(self, scenario: Scenario, *, seed: int) -> Parts:
        """The parts of a second provider in this world; its time starts now."""
        parts = assemble(
            scenario,
            ClockFrom(self.timers),
            VirtualWaits(self.scheduler),
            seed=seed,
            backend=self.schedule.backend,
            origin=self.scheduler.witness.origin,
            admit=self._admit,
            progress=self._progress,
        )
        for before in self._all_parts:
            before.desk.close()
        self._all_parts = [self.parts, parts]
        if self.timers.limit is not None:
            self.timers.limit = self.timers.now() + self._budget
        return parts

    # -- the process ---------------------------------------------------------------------

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Take what the run needs of the process until the block ends."""
        with (
            lent_to(self.scheduler, lambda: self),
            self.current_loop.lent(),
            self.parts.tank.fake_llm.installed(),
        ):
            yield

    # -- the run -------------------------------------------------------------------------

    def started(self, engine: Engine) -> None:
        """A loop or a run of trio has started in this world."""
        self.engines.append(engine)
        if self.scheduler.watch is not None:
            engine.watch_steps()

    def new_loop(self) -> SimulatedLoop:
        """A loop in this world's time, for a runner that wants one."""
        loop = lasting_or_not(SimulatedLoop(self.scheduler))
        self.started(loop)
        return loop

    def close(self) -> None:
        """Release threads that still wait and of runs of trio that never ended.

        What belongs to a fixture that outlives the test goes on waiting for the next one.
        """
        for parts in self._all_parts:
            parts.close()
        try:
            with loops_left(self._loops_of_the_program()):
                self.scheduler.close(all_threads=False)
        finally:
            workers_ended()
            self.stand_ins.close_all()
        self.timers.idle = None
        for engine in self.engines:
            engine.dispose()

    def _loops_of_the_program(self) -> list[SimulatedLoop]:
        loops = [engine for engine in self.engines if isinstance(engine, SimulatedLoop)]
        return [loop for loop in loops if not loop.lasting and loop not in self.stand_ins]

    @property
    def steps(self) -> int:
        """Steps of all engines so far."""
        return sum(engine.steps for engine in self.engines)

    def watch_steps(self, look: Look) -> None:
        """Have every step looked at from here on."""
        if look not in self._looks:
            self._looks.append(look)
        if self.scheduler.watch is None:
            self.scheduler.watch = StepWatch(self._look)
            for engine in self.engines:
                engine.watch_steps()

    def _look(self, origin: Origin) -> None:
        for look in self._looks:
            look(origin)

    def _stalled(self, began: int, far: bool) -> None:
        at = self.timers.now() - self.scheduler.began
        reason = DEADLINE if far else None
        self.parts.log.append(Event(at=at, kind="stalled", since=began - self.scheduler.began, reason=reason))

    def _interrupted(self) -> None:
        """The program is about to be interrupted: log at which await of `main`."""
        place = self._place_of_main()
        file, line = place or (None, None)
        self.parts.desk.note("interrupted", task="main", file=file, line=line)
        self._unreported.interrupted()

    def _place_of_main(self) -> Place | None:
        if self.scheduler.plain:
            return place_of_frame(sys._getframe(1))
        engine = self.scheduler.engine
        suspended = () if engine is None else engine.suspended(prospects=True)
        return next((place_of_task(one.coro) for one in suspended if one.is_main), None)

    def restarted(self) -> None:
        """The program runs again on what it kept."""
        self.parts.desk.note("restarted")
        self.parts.tank.watching.restarted()
        self.parts.tank.invariants.restarted()

    def _blocked(self, began: int) -> None:
        self.parts.desk.note("stalled", since=began - self.scheduler.began, reason="blocking")

    def _choose(
        self, purpose: str, item: str | None, options: Sequence[int], number: int | None = None
    ) -> int:
        """Let the run's chooser decide in the provider's place; 0 once the run is being ended."""
        chooser = self.scheduler.chooser
        if chooser is None:
            return 0
        if self.asks is not None:
            self.asks(ProviderChoice(purpose, item, options).describe)
        if number is None:
            return chooser.choose("provider", len(options), ())
        if purpose == "fault":
            number += len(self.parts.tank.scenario.wave)
        return chooser.choose("provider", len(options), (number, options[0], self._may_meet_all[number]))

    # -- what the test itself chooses -------------------------------------------------------

    def decide(self, n: int, weights: Sequence[int], describe: Callable[[int], str]) -> int:
        """What the run's chooser takes of the test's own options; 0 once the run is being ended."""
        chooser = self.scheduler.chooser
        if chooser is None or self._over() or n < 2:
            return 0
        if self.asks is not None:
            self.asks(describe)
        return chooser.choose("test", n, weights)

    def offer(self, whose: Hashable, offer: Callable[[], object]) -> None:
        """Call `offer` between two steps until it is withdrawn."""
        self.scheduler.offers[whose] = offer

    def withdraw(self, whose: Hashable) -> None:
        """Call an offer no longer."""
        self.scheduler.offers.pop(whose, None)

    def awaits(self) -> Callable[[], tuple[object, ...]] | None:
        """What the running task awaits, if the search controls it."""
        scheduler = self.scheduler
        if scheduler.chooser is None or scheduler.engine is None or not scheduler.on_main_thread():
            return None
        return scheduler.engine.awaits_of_running()

    def _over(self) -> bool:
        """Whether what happens now is no part of the run: it is being ended, or this is another's thread."""
        scheduler = self.scheduler
        return scheduler.stopped_by is not None or scheduler.over or not scheduler.is_mine()

    def _idle(self) -> bool:
        """Nothing can run; True if that may have changed."""
        self._idle_times += 1
        if self._idle_times % IDLE_TIMES_PER_COLLECTION == 0:
            collect_young()
            return True
        return any(parts.desk.settle(partial(self._next_due, parts.desk)) for parts in self._all_parts)

    def _next_due(self, desk: Desk) -> int | None:
        """The next instant at which something is due, on the clock of a desk."""
        due = self.timers.next_due()
        return None if due is None else due - self.timers.now() + desk.clock.now()

    def _progress(self) -> None:
        self.scheduler.cpu_budget.renew()
        for engine in self.engines:
            engine.progress()

    def _delivered(self, record: Record) -> None:
        """A success reached its client; without time passing that may go on for ever."""
        alone = self.scheduler.plain and self.scheduler.on_main_thread()
        task = running_task() or (self.scheduler if alone else None)
        self._unreported.delivered(record, task, self.timers.now() - self.scheduler.began)
        if self.timers.now() > self._delivered_at:
            self._delivered_at = self.timers.now()
            self._progress()

    def _admit(self) -> None:
        """Let in callers that run in this world's time.

        Raises:
            OutsideTheTank: the caller's thread or event loop lives in another time.
        """
        loop = asyncio_events._get_running_loop()
        if not self.scheduler.is_mine():
            raise OutsideTheTank(_outside("from a thread that the run did not start"))
        if loop is not None and not (isinstance(loop, SimulatedLoop) and loop.scheduler is self.scheduler):
            raise OutsideTheTank(_outside(f"on a {type(loop).__name__} with another clock"))
        trio = sys.modules.get("trio")
        if loop is None and trio is not None and trio.lowlevel.in_trio_run() and not self.engines:
            raise OutsideTheTank(_outside("in a run of trio with another clock"))

    def __repr__(self) -> str:
        return f"<VirtualWorld {self.parts.log.header.scenario} {self.scheduler!r}>"


class ProcessOwner(Protocol):
    """Who has the process for now: a world, or a fixture that outlives its test."""

    def new_loop(self) -> AbstractEventLoop:
        """A loop in the owner's time."""

    def started(self, engine: Engine, /) -> None:
        """A loop or a run of trio has started."""


def lasting_or_not(loop: SimulatedLoop) -> SimulatedLoop:
    """Note of a new loop whether it outlives the test."""
    loop.lasting = loop.scheduler.outlives()
    if loop.lasting:
        loop.scheduler.lasting_loops.append(loop)
    return loop


@contextmanager
def lent_to(
    scheduler: Scheduler, current: Callable[[], ProcessOwner | None], *, collect: bool = False
) -> Iterator[None]:
    """Let one world after another have the process, but for the fake; `current` returns the owner now."""

    def new_loop() -> AbstractEventLoop:
        world = current()
        assert world is not None, "no run is under way"
        return world.new_loop()

    def stand_ins() -> StandIns:
        world = current()
        assert isinstance(world, VirtualWorld), "no run is under way"
        return world.stand_ins

    def in_a_run() -> bool:
        # Between two runs finalizers of the last one may run loops of their own.
        return current() is not None and scheduler.is_mine()

    def in_a_world() -> bool:
        return isinstance(current(), VirtualWorld) and scheduler.is_mine()

    def started(engine: Engine) -> None:
        world = current()
        if world is not None:
            world.started(engine)

    def desk() -> Desk | None:
        world = current()
        return world.parts.desk if isinstance(world, VirtualWorld) and scheduler.is_mine() else None

    def borrow_trio(stack: ExitStack, _: ModuleType) -> None:
        from ..patches.trio_hooks import trio_under

        stack.enter_context(trio_under(scheduler, started))

    with ExitStack() as stack:
        stack.enter_context(virtual_process(scheduler, collect=collect))
        stack.enter_context(runners_on(new_loop, where=in_a_run, real_loops_too=lambda: scheduler.paced))
        stack.enter_context(stand_ins_under(stand_ins, where=in_a_world))
        stack.enter_context(on_import(("trio",), partial(borrow_trio, stack)))
        stack.enter_context(pauses_logged(desk))
        yield


def _outside(where: str) -> str:
    return (
        f"the fake was called {where}, where the virtual time of this tank does not run. "
        f"Call it from what the test itself runs, or {LEAVE_OUT}"
    )


def _budget(scenario: Scenario, max_virtual_seconds: float | None) -> int:
    seconds = checked_budget(max_virtual_seconds)
    if seconds is None:
        return DEFAULT_BUDGET + quiet_instant(scenario) + longest_batch(scenario)
    return after_delay(seconds)
