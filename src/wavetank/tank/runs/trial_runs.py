"""Make run after run of one program, each in a fresh world, in a process that is borrowed once."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar, final

from msgspec import structs

from ...checks import Check, judge
from ...checks.disturbances import disturbed
from ...clock import after_delay
from ...events import EventLog
from ...patches.garbage import collect_between_runs
from ...patches.randomness import Chance
from ...scenario import Scenario
from ...sim.asyncio_run import run_asyncio
from ...sim.budgets import STEPS_WITHOUT_PROGRESS
from ...sim.choices import Chooser, Fifo, Level, Recorder
from ...sim.ended import Ended
from ...sim.fingerprint import is_coroutine_function
from ...sim.interleaving import Interleaving, TakenStep
from ...sim.narrator import DescribedDeviation, Narrator
from ...sim.plain_run import run_plain
from ...sim.policies.plan import Plan
from ...sim.scheduler import Scheduler
from ...sim.shrink import Deviations
from ...sim.timers import Timers
from ...sim.token import FIFO, THREADS
from ..assembly import meeting_no_fake
from ..tank import Tank
from ..virtual_world import VirtualWorld, lent_to
from ..workload import program_number
from .finished_run import Run
from .run_budgets import budgets_for
from .run_options import RunOptions

Main = Callable[[Tank], Any]
"""`async def main(tank)`, or a plain function: that one runs in no event loop, and may start threads."""


@final
@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run that was made: how it ended, its event log, its choices, and what hides its secrets."""

    end: Ended
    log: EventLog
    checks: Sequence[Check]
    level: Level = FIFO
    record: Recorder | None = None
    described: Sequence[DescribedDeviation] = ()
    interleaving: Sequence[TakenStep] = ()
    policy: str = "fifo"
    hide: Callable[[str], str] = str
    stopped_early: Trial | None = None
    """The same run as it was stopped before, because it was suspected to hang."""

    @cached_property
    def run(self) -> Run[Any]:
        """The run with its verdicts, as a test sees it."""
        return Run(
            value=self.end.value,
            error=self.end.error,
            verdicts=judge(self.log, self.checks),
            events=self.log,
            steps=self.end.steps,
            deviations=tuple(self.described),
            interleaving=tuple(replace(each, text=self.hide(each.text)) for each in self.interleaving),
            level=self.level.order,
            hide=self.hide,
        )

    @property
    def deviations(self) -> Deviations:
        """What it chose other than plain FIFO order would."""
        return self.record.deviations if self.record is not None else ()

    @property
    def suspect(self) -> bool:
        """Whether it was stopped by a budget, so that it may have come to its end with a larger budget."""
        return self.end.how in ("steps", "time", "cpu") or bool(self.end.stuck or self.end.spinning)

    @cached_property
    def failure(self) -> tuple[str, str] | None:
        """The kind of its failure and what failed, a check or a type of error; `None` for a pass."""
        kind = self.run.kind
        if kind is None:
            return None
        if kind == "error":
            return kind, _type_of(self.end.error)
        failed = (verdict.name for verdict in self.run.verdicts.values() if verdict.passed is False)
        return kind, next(failed, kind)


@final
@dataclass(frozen=True, slots=True)
class Backend:
    """What runs a program: its name in logs and tokens, and a function like `run_asyncio`."""

    name: str
    run: Callable[..., Ended]


class TrialMaker(ABC):
    """Makes run after run of one program, wherever they are made, and learns how long to wait for them.

    `program` is the fingerprint of the program. The scenario and the workload may be cut between two runs.
    """

    GENTLER_RUNS: ClassVar = 120
    """So many schedules are tried at a gentler level before a failure counts as out of its reach."""

    def __init__(self, scenario: Scenario, options: RunOptions, *, program: int) -> None:
        self.scenario = scenario
        self.options = options
        self.checks = options.named_checks
        self.workload = options.workload
        self.budgets = budgets_for(scenario, options.max_virtual_seconds)
        self.program = program
        self.made = 0
        """Runs so far."""
        self.shrinking = 0
        """Those of them that were made to shrink a failure."""
        self.watch: Callable[[], object] = lambda: None
        """Called before each run."""

    def count(self) -> None:
        """Note that a run is made now."""
        self.made += 1
        self.watch()

    @abstractmethod
    def borrowed(self) -> AbstractContextManager[None]:
        """Take what the runs need of the process until the block ends."""

    @abstractmethod
    def run(
        self,
        plan: Plan | None = None,
        *,
        narrated: bool = False,
        short_budget: bool = False,
        attentive: bool = False,
        around: Sequence[int] = (),
    ) -> Trial:
        """Make a run, as planned or in FIFO order; only while the process is borrowed.

        With `short_budget` it is stopped when it is suspected to hang. A `narrated` run keeps the steps
        next to its deviations, and to the numbers of steps that `around` has.
        """

    def run_confirmed(self, plan: Plan, again: Callable[[], Plan]) -> Trial:
        """Make a run as planned within a short budget; with the whole one if that stops it.

        So what comes of it does not depend on the short budget, which is learnt from earlier runs.
        `again` makes the same plan once more, as a chooser serves for one run.
        """
        trial = self.run(plan, short_budget=True)
        if not trial.suspect and disturbed(trial.log) is not None:
            return trial
        if not trial.suspect:
            self.budgets = self.budgets.learned(trial.end, trial.run.virtual_seconds)
            return trial
        if isinstance(plan.chooser, Fifo):
            # Plain FIFO order, as a token of this run would repeat it: it need not be made once more.
            whole = replace(self.run(narrated=True), record=trial.record, policy=trial.policy)
            if whole.suspect:
                return replace(whole, stopped_early=trial)
        # The choices of the first run end where it was stopped: one that only takes long needs all its own.
        whole = self.run(again())
        if whole.suspect:
            return replace(whole, stopped_early=trial)
        self.budgets = self.budgets.longer().learned(whole.end, whole.run.virtual_seconds)
        return whole


@final
class Trials(TrialMaker):
    """A program and the world it is tried in, in this process.

    Args:
        main: `async def main(tank)`, or a plain function.
        scenario: how the provider behaves.
        options: what else a run depends on.
        backend: what runs the program; by default the engine that the options name.
    """

    def __init__(
        self, main: Main, scenario: Scenario, options: RunOptions, *, backend: Backend | None = None
    ) -> None:
        super().__init__(scenario, options, program=program_number(main, options.workload))
        self.main = main
        self._awaited = is_coroutine_function(main)
        self._backend = backend or Backend(options.backend, _engine_for(main, options))
        self._scheduler = Scheduler(Timers())
        self._world: VirtualWorld | None = None
        self._chance = Chance(options.seed)

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        with lent_to(self._scheduler, lambda: self._world), self._chance.lent(), meeting_no_fake():
            yield

    def run(
        self,
        plan: Plan | None = None,
        *,
        narrated: bool = False,
        short_budget: bool = False,
        attentive: bool = False,
        around: Sequence[int] = (),
    ) -> Trial:
        record = None if plan is None else Recorder(plan.chooser)
        steps = Interleaving(lambda: self._scheduler.elapsed, lambda: self._scheduler.steps, around)
        narrator = Narrator(record, self._scheduler, steps) if record is not None and narrated else None
        world = self._new_world(
            plan, narrator or record, short_budget=short_budget, attentive=attentive or narrated
        )
        if narrator is not None:
            _listen(narrator, world)
        if narrated:
            world.parts.tank.tracing.keep_history()
            if narrator is not None or around:
                world.watch_steps(steps.look)
        end = self._run(world)
        return Trial(
            end=end,
            log=world.parts.log,
            checks=(*self.checks, *world.parts.tank.fake_llm.own_checks),
            level=FIFO if plan is None else plan.level,
            record=record,
            described=narrator.described if narrator is not None else (),
            interleaving=steps.steps(),
            policy="fifo" if plan is None else plan.policy,
            hide=world.parts.desk.secrets.hide,
        )

    def _new_world(
        self, plan: Plan | None, chooser: Chooser | None, *, short_budget: bool, attentive: bool
    ) -> VirtualWorld:
        self.count()
        collect_between_runs()
        self._chance.restart()
        self._world = VirtualWorld(
            self.scenario,
            seed=self.options.seed,
            backend=self._backend.name,
            max_virtual_seconds=self.options.max_virtual_seconds,
            max_cpu_seconds=self.options.max_cpu_seconds,
            cpu_spent_at=None if plan is None else plan.cpu_spent_at,
            short_limit=after_delay(self.budgets.virtual_seconds) if short_budget else None,
            scheduler=self._scheduler,
            chooser=chooser,
            level=FIFO if plan is None else plan.level,
            step_budget=self.budgets.steps if short_budget else STEPS_WITHOUT_PROGRESS,
            attentive=attentive,
            interrupting=self.options.interrupt,
        )
        self._world.parts.tank.workload = self.workload
        return self._world

    def _run(self, world: VirtualWorld) -> Ended:
        tank, after = world.parts.tank, self.options.after_interrupt
        with tank.fake_llm.installed():
            try:
                return self._backend.run(
                    lambda: _made(self.main, tank, awaited=self._awaited),
                    world.scheduler,
                    started=world.started,
                    ended=world.parts.ended,
                    again=None if after is None else lambda: _again(after, world),
                )
            finally:
                if world.scheduler.plain:
                    world.parts.log.header = structs.replace(world.parts.log.header, backend=THREADS)
                world.close()
                self._world = None


def _type_of(error: BaseException | None) -> str:
    """The type of an error; of an exception group, those of what is in it."""
    if isinstance(error, BaseExceptionGroup):
        kinds = sorted({_type_of(each) for each in error.exceptions})
        return f"{type(error).__name__} of {', '.join(kinds)}"
    return type(error).__name__


def _listen(narrator: Narrator, world: VirtualWorld) -> None:
    """Let the narrator know of stalls, and of what the provider is asked."""
    note = world.scheduler.stalled

    def stalled(began: int, far: bool) -> None:
        note(began, far)
        narrator.stalled(began, far)

    def cutting() -> None:
        log_cut()
        event = world.parts.log[-1]
        narrator.cut("at its start" if event.file is None else f"at {event.file}:{event.line}")

    log_cut = world.scheduler.cutting
    world.scheduler.stalled, world.scheduler.cutting = stalled, cutting
    world.asks = lambda describe: setattr(narrator, "about", describe)


def _again(after: Main, world: VirtualWorld) -> Any:
    """Run the program again after it was interrupted."""
    world.restarted()
    return after(world.parts.tank)


def _made(main: Main, tank: Tank, *, awaited: bool) -> Any:
    """The coroutine of a program, or what a plain function returns."""
    made = main(tank)
    if awaited and not inspect.iscoroutine(made):
        raise TypeError(f"main wraps a coroutine function and returned {made!r}: let it return the coroutine")
    return made


def _engine_for(main: Main, options: RunOptions) -> Callable[..., Ended]:
    """What runs a program; what a plain function returns may be a coroutine, for the engine of the backend.

    Raises:
        TypeError: `after_interrupt` is a plain function, and `main` is not.
    """
    engine, after = _engine(options.backend), options.after_interrupt
    if not is_coroutine_function(main):
        return partial(run_plain, otherwise=engine)
    if after is not None and not is_coroutine_function(after):
        raise TypeError(f"after_interrupt={after!r}: give a coroutine function, as `main` is one")
    return engine


def _engine(backend: str) -> Callable[..., Ended]:
    if backend == "asyncio":
        return run_asyncio
    try:
        from ...sim.trio_run import run_trio
    except ModuleNotFoundError as error:
        if error.name != "trio":
            raise
        raise ValueError('backend="trio" needs trio: install it beside wavetank') from None
    return run_trio
