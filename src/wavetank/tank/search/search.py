"""Search schedules of a program for one that fails, shrink it, and say where it can be reached."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Generic, TypedDict, TypeVar, Unpack, cast, final, overload

from ...checks import Checks
from ...checks.also_seen import also_seen
from ...checks.exercised import missed
from ...clock import SECOND, real_now
from ...scenario import Scenario, load_scenario
from ...sim.choices import Fifo, Level, Recorder
from ...sim.policies import policy_named
from ...sim.policies.plan import Plan, Sampling
from ..runs.divergence import described, passes_here
from ..runs.finished_run import Run
from ..runs.replay_line import call
from ..runs.run_options import DEFAULT_SCHEDULES, SearchOptions
from ..runs.trial_runs import Trial, TrialMaker, Trials
from ..tank import Tank
from ..workload import Workload
from .failing_run import failing_run, unexercised
from .failing_schedule import as_found
from .made_schedule import Made

if TYPE_CHECKING:
    from .forked_makers import ForkedMakers

T = TypeVar("T")

BLOCK: Final = 64
"""What is learnt from schedules counts from the next multiple of this number on, so that those in between
can be made at the same time. Few enough to learn soon; of a block, several processes rarely wait for the
last of its runs."""

ALONE: Final = 16
"""So many schedules are made before the process is forked: most failures show by then, one turn of the
portfolio has been taken, and what the program imports and caches is there for all processes."""

Watch = Callable[[Made], object]
"""Sees each schedule that was made; True ends the search."""

WatchFailure = Callable[[int, str], object]
"""Sees each run that repeats or shrinks a failure, before it is made: the schedule that failed, counted from
1, and the line that repeats it as it was found."""


@final
@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier part of a search has come to, from which another one continues.

    It has made so many `schedules`, the first ones. `longest` is the most choices, and the most picks of
    who goes next, of a run before the block in which it ended. `unmet` are the waves and faults that none
    of them has met; `None` without a schedule. Policies that draw their schedules need no more than that.
    """

    schedules: int = 0
    longest: tuple[int, int] = (0, 0)
    unmet: tuple[str, ...] | None = None


NOTHING: Final = Earlier()
"""A search from the start."""


def block_end(number: int) -> int:
    """The first number of the block behind that of schedule `number`."""
    return number // BLOCK * BLOCK + BLOCK


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Generic[T]):
    """The result of a search.

    `schedules` are the complete runs up to the first failure, the first of which is FIFO;
    `distinct` are those with choices of their own. `after` are the runs made since then, to
    repeat and shrink the failure and to look for it at gentler levels, `shrinking` of them to
    shrink it. `choices` counts what was
    chosen, by kind. `proved` says what the runs prove, if they do, and `unmet` which waves and
    faults no run met. `processes` made the schedules; `one_process` says why it was one, where there
    should have been more. `backend` is what the program runs on: `threads` if it is a plain function.
    `interrupted` says how many schedules the program was interrupted in; `None` of a search that interrupts
    nothing. `met` says whether the first run, or one beside it in this process, sent a request.
    `seen` is what is worth a look in the first run if it passed, a line by the name of its check.
    """

    failure: Run[T] | None
    schedules: int
    distinct: int
    after: int
    shrinking: int
    choices: dict[str, int]
    seconds: float
    proved: str | None
    unmet: str
    processes: int = 1
    one_process: str = ""
    backend: str = ""
    interrupted: int | None = None
    met: bool = False
    seen: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Raise the failure, if there is one, with its report.

        Raises:
            CheckFailed: a check failed.
            BaseException: `main` raised it.
        """
        __tracebackhide__ = True
        if self.failure is not None:
            self.failure.check()

    @classmethod
    def of_one(cls, run: Run[T], replay: str) -> Result[T]:
        """The result of a single run that a token stands for; `replay` is the line that repeats it."""
        repeated = replace(run, replay=replay, found=(f"{run.kind}, repeated from its token",))
        return cls._of(repeated if run.kind is not None else None, run)

    @classmethod
    def of_kept(cls, run: Run[T]) -> Result[T]:
        """The result of a search that was not made, as a failure which was kept still fails."""
        return cls._of(run, run)

    @classmethod
    def _of(cls, failure: Run[T] | None, made: Run[T]) -> Result[T]:
        return cls(
            failure=failure,
            schedules=1,
            distinct=1,
            after=0,
            shrinking=0,
            choices={},
            seconds=0.0,
            proved=None,
            unmet="",
            backend=made.events.header.backend,
            met=bool(made.events.of("arrived")),
        )

    def __repr__(self) -> str:
        outcome = "no failure" if self.failure is None else self.failure.kind
        return f"<Result: {outcome} in {self.schedules} schedules>"


class SearchKeywords(TypedDict, total=False):
    """What `search` takes by keyword, for its two signatures."""

    schedules: int
    policy: str
    level: str
    seed: int
    backend: str
    checks: Checks
    max_virtual_seconds: float | None
    max_cpu_seconds: float | None
    seconds: float | None
    workload: Workload | None
    jobs: int
    interrupt: bool
    after_interrupt: Callable[[Tank], Any] | None
    replay: Callable[[str], str] | None
    watch: Watch
    watch_failure: WatchFailure


@overload
def search(
    main: Callable[[Tank], Awaitable[T]],
    scenario: str | os.PathLike[str] | Scenario = ...,
    **options: Unpack[SearchKeywords],
) -> Result[T]: ...


@overload
def search(
    main: Callable[[Tank], T],
    scenario: str | os.PathLike[str] | Scenario = ...,
    **options: Unpack[SearchKeywords],
) -> Result[T]: ...


def search(
    main: Callable[[Tank], Any],
    scenario: str | os.PathLike[str] | Scenario = "calm",
    *,
    schedules: int = DEFAULT_SCHEDULES,
    policy: str = "portfolio",
    level: str = "any",
    seed: int = 0,
    backend: str = "asyncio",
    checks: Checks = "default",
    max_virtual_seconds: float | None = None,
    max_cpu_seconds: float | None = None,
    seconds: float | None = None,
    workload: Workload | None = None,
    jobs: int = 1,
    interrupt: bool = False,
    after_interrupt: Callable[[Tank], Any] | None = None,
    replay: Callable[[str], str] | None = None,
    watch: Watch = lambda _: None,
    watch_failure: WatchFailure = lambda *_: None,
) -> Result[Any]:
    """Run `main(tank)` under up to `schedules` schedules, or for so many real `seconds`, until one fails.

    The first run is FIFO; the others follow the `policy` within the `level`. A failure is repeated,
    shrunk towards FIFO, and looked for at gentler levels; a `workload`, which `main` finds as
    `tank.workload`, is shrunk too. With `interrupt` some runs interrupt the program, as Ctrl-C does,
    while `main` waits; `after_interrupt` then runs on what it has kept, and both are judged together.
    `jobs` processes, forks of this one, make the schedules; how many, decides nothing but the time.
    A `main` that is a plain function runs in no event loop, on no `backend`; it may start threads.
    `replay` returns for a token the line that repeats the failure, by default a call of
    `wavetank.simulate`. `watch` is called with each schedule, and ends the search by a true value;
    `watch_failure` before each run that repeats or shrinks a failure, with its number and that line.

    Raises:
        Diverged: a failing schedule does not repeat.
        MakerDied: two of the processes died at the same schedules.
        ScenarioError: the scenario cannot be found or read.
        TypeError: `after_interrupt` is no function, or a plain one and `main` is not.
        UnknownCheck: a check has no such name.
        ValueError: another argument is out of range.
    """
    options = SearchOptions(
        schedules=schedules,
        policy=policy,
        level=level,
        seed=seed,
        backend=backend,
        checks=checks,
        max_virtual_seconds=max_virtual_seconds,
        max_cpu_seconds=max_cpu_seconds,
        seconds=seconds,
        workload=workload,
        jobs=jobs,
        interrupt=interrupt,
        after_interrupt=after_interrupt,
    )
    given: dict[str, Any] = {"replay": replay, "watch": watch, "watch_failure": watch_failure}
    searching = ScheduleSearch.of_program(main, scenario, options, **given)
    searching.until_failure()
    return searching.result()


@final
class ScheduleSearch:
    """A search in two parts: runs `until_failure`, and then the `result`, for which a failure is shrunk.

    `trials` makes the runs, and `earlier` is what an earlier part of the search has come to. The other
    arguments are those of `search`.

    Raises:
        ValueError: it is to continue within a block, and beyond it.
    """

    def __init__(
        self,
        trials: TrialMaker,
        options: SearchOptions,
        *,
        replay: Callable[[str], str],
        watch: Watch = lambda _: None,
        watch_failure: WatchFailure = lambda *_: None,
        earlier: Earlier = NOTHING,
    ) -> None:
        self._options = options
        self._level = Level.parse(options.level)
        self._policy = policy_named(options.policy, seed=options.seed, level=self._level)
        self._trials = trials
        self._line = replay
        self._watch = watch
        self._watch_failure = watch_failure
        self._began = real_now()
        self._next = earlier.schedules
        self._until = options.schedules
        if earlier.schedules % BLOCK and self._until > block_end(earlier.schedules):
            raise ValueError(
                f"schedules {earlier.schedules} to {self._until}: what the first ones of a block have shown "
                "is not known here, so end with the block"
            )
        self._earlier = earlier
        self._block: list[Recorder] = []
        """What is to be learnt when the block is made."""
        self._over = False
        self._makers: ForkedMakers | None = None
        self._distinct: dict[int, None] = {}
        self._choices: Counter[str] = Counter()
        self._interrupted = 0
        self._met = False
        self._seen: Mapping[str, str] = {}
        self._not_met = earlier.unmet
        """The waves and faults that no run of this process has met; `None` before the first."""
        self._unmet = earlier.unmet or ()
        """Those that no schedule which counts has met."""
        self._failing: Made | None = None
        self._processes = 1
        self._one_process = ""
        self._backend = options.backend
        self._made_before = 0
        """Runs that were made up to the failure."""
        self.longest = earlier.longest
        """The most choices, and the most picks of who goes next, of a run so far."""
        self.failed: Trial | None = None
        """The first run that failed."""

    @classmethod
    def of_program(
        cls,
        main: Callable[[Tank], Any],
        scenario: str | os.PathLike[str] | Scenario,
        options: SearchOptions,
        *,
        replay: Callable[[str], str] | None = None,
        **given: Any,
    ) -> ScheduleSearch:
        """The search of a program that runs in this process; `given` are other arguments of the class."""
        # Whether the waves and faults met a request is judged of all runs together.
        judged = tuple(check for check in options.named_checks if check != "exercised")
        trials = Trials(main, load_scenario(scenario), replace(options, checks=judged))
        return cls(trials, options, replay=replay or call(main, scenario, options), **given)

    def until_failure(self) -> Trial | None:
        """Make the runs up to the first that fails; `None` if none of them does.

        Raises:
            Diverged: a schedule fails in a process of its own, and passes in this one.
            MakerDied: two processes died at the same schedules.
        """
        jobs, alone = self._options.jobs, self._until
        if jobs > 1:
            alone = min(self._next + ALONE, alone)
        with self._trials.borrowed():
            self._begin()
            self._make_all(self._made_here, alone)
        if not self._over:
            self._make_rest(jobs)
        if not self._policy.SAMPLES:
            self._learn()  # for what it proves
        self._made_before = self._trials.made
        return self.failed

    @property
    def made(self) -> int:
        """Complete runs so far."""
        return self._next

    @property
    def learnt(self) -> tuple[int, int]:
        """What `longest` was before the current block."""
        if not isinstance(self._policy, Sampling):
            return 0, 0
        return self._policy.measured.choices, self._policy.measured.picks

    @property
    def unmet(self) -> tuple[str, ...]:
        """The waves and faults that no schedule so far has met."""
        return self._unmet

    # -- schedules by number --------------------------------------------------------------------

    def _begin(self) -> None:
        """Make the schedule in FIFO order, and learn what was learnt in an earlier part of the search."""
        resumed = self._next
        fifo = self._made(0)
        assert fifo is not None
        assert fifo.record is not None
        self._policy.learn(fifo.record)
        if fifo.trial is not None and not resumed and not fifo.failed:
            self._seen = also_seen(fifo.trial.log, self._options.named_checks)
        if not resumed or fifo.failed:
            self._take(fifo)
            self._block.clear()
        elif isinstance(self._policy, Sampling):
            self._policy.measured.include(*self._earlier.longest)

    def _make_all(self, makers: Callable[[range], Iterator[Made]], until: int) -> None:
        """Make the schedules up to a number, block by block."""
        while not self._over and self._next < until:
            begun = self._next
            numbers = range(begun, min(until, block_end(begun)))
            for made in makers(numbers):
                self._take(made)
                if self._over:
                    return
            if self._next == begun:
                self._over = True
            elif self._next < numbers.stop or self._next % BLOCK == 0:
                self._learn()

    def _make_rest(self, jobs: int) -> None:
        """Make the schedules that are left in several processes, if that is possible."""
        from .forked_makers import ForkedMakers, why_not

        self._one_process = why_not()
        if self._one_process:
            with self._trials.borrowed():
                self._make_all(self._made_here, self._until)
            return
        self._processes = jobs
        makers = ForkedMakers(jobs, self._made_here, self._learn_from, self._trials.borrowed)
        with makers as self._makers:
            self._make_all(makers.made, self._until)
        self._makers = None
        if self._failing is not None:
            self.failed = self._made_again(self._failing)

    def _made_again(self, failing: Made) -> Trial:
        """A failing run of another process, in this one."""
        with self._trials.borrowed():
            again = self._made(failing.number)
        if again is None or again.trial is None or not again.failed:
            raise passes_here(failing.number, failing.failed)
        return again.trial

    def _made_here(self, numbers: range) -> Iterator[Made]:
        """Make schedules in this process, up to one that failed or does not exist."""
        for number in numbers:
            made = self._made(number)
            if made is None:
                return
            yield made
            if made.failed:
                return

    def _made(self, number: int) -> Made | None:
        """Make one schedule; `None` if there is none with this number yet."""
        plan = self._planned(number)
        if plan is None:
            return None
        trial = self._trials.run_confirmed(plan, lambda: cast(Plan, self._planned(number)))
        if self._not_met != ():
            missing = missed(trial.log)
            self._not_met = tuple(
                each for each in (missing if self._not_met is None else self._not_met) if each in missing
            )
        return Made(
            number=number,
            level=trial.level,
            record=trial.record,
            missed=self._not_met,
            failed=described(trial) if trial.failure is not None else "",
            trial=trial,
        )

    def _planned(self, number: int) -> Plan | None:
        return self._policy.plan(number) if number else Plan(Fifo(), self._level, "fifo")

    # -- what came of them ------------------------------------------------------------------------

    def _take(self, made: Made) -> None:
        """Count a schedule, in the order of the numbers."""
        self._next = made.number + 1
        if made.failed:
            self._failing, self.failed = made, made.trial
        if made.trial is not None:
            self._backend = made.trial.log.header.backend
            self._met = self._met or bool(made.trial.log.of("arrived"))
        record = made.record
        if record is not None:
            choices, picks = self.longest
            self.longest = max(choices, len(record)), max(picks, len(record.went))
            self._block.append(record)
            self._distinct[hash((made.level, tuple(record.taken), tuple(record.widths)))] = None
            self._choices.update(record.kinds)
            self._interrupted += self._options.interrupt and record.took("interruption")
            self._unmet = made.missed
        enough = bool(self._watch(made))
        self._over = enough or bool(made.failed) or self._next >= self._until or self._late

    @property
    def _late(self) -> bool:
        seconds = self._options.seconds
        return seconds is not None and real_now() - self._began >= int(seconds * SECOND)

    def _learn(self) -> None:
        """Learn from a block, in every process."""
        self._learn_from(self._block)
        if self._makers is not None:
            self._makers.learn(self._block)
        self._block.clear()

    def _learn_from(self, records: Iterable[Recorder]) -> None:
        for record in records:
            self._policy.learn(record)

    def result(self) -> Result[Any]:
        """The result of the search, with the failure repeated and shrunk.

        Raises:
            Diverged: it does not repeat.
        """
        run, unmet = None, ", ".join(self._unmet)
        if self.failed is not None:
            found = self._line(as_found(self._trials, self.failed).token())
            self._trials.watch = lambda: self._watch_failure(self._next, found)
            with self._trials.borrowed():
                run = failing_run(self._trials, self.failed, self._level, self._next, self._line)
        elif "exercised" in self._options.named_checks and unmet:
            with self._trials.borrowed():
                run = unexercised(self._trials.run(), unmet, self._next)
        return Result(
            failure=run,
            schedules=self._next,
            distinct=len(self._distinct),
            after=self._trials.made - self._made_before,
            shrinking=self._trials.shrinking,
            choices=dict(sorted(self._choices.items())),
            seconds=(real_now() - self._began) / SECOND,
            proved=None if run is not None else self._policy.proved,
            unmet=unmet,
            processes=self._processes,
            one_process=self._one_process,
            backend=self._backend,
            interrupted=self._interrupted if self._options.interrupt else None,
            met=self._met,
            seen=self._seen if run is None else {},
        )
