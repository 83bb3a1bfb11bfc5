"""Search schedules of a program for one that fails, shrink it, and say where it can be reached."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, final

from ...checks import Checks
from ...checks.exercised import missed
from ...clock import SECOND, real_now
from ...scenario import Scenario, load_scenario
from ...sim.choices import Fifo, Level
from ...sim.dice import dice
from ...sim.policies import policy_named
from ...sim.policies.plan import Plan
from ..runs.finished_run import Run
from ..runs.replay_line import call
from ..runs.run_options import DEFAULT_SCHEDULES, SearchOptions
from ..runs.trial_runs import Trial, Trials
from ..tank import Tank
from ..workload import Workload
from .failing_run import failing_run, unexercised

T = TypeVar("T")

Watch = Callable[[Trial], object]
"""Sees the choices of each run that was made; True ends the search."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Generic[T]):
    """The result of a search.

    `schedules` are the complete runs up to the first failure, the first of which is FIFO;
    `distinct` are those with choices of their own. `after` are the runs made since then, to
    repeat and shrink the failure and to look for it at gentler levels, `shrinking` of them to
    shrink it. `choices` counts what was
    chosen, by kind. `proved` says what the runs prove, if they do, and `unmet` which waves and
    faults no run met.
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
        return cls(
            failure=repeated if run.kind is not None else None,
            schedules=1,
            distinct=1,
            after=0,
            shrinking=0,
            choices={},
            seconds=0.0,
            proved=None,
            unmet="",
        )

    def __repr__(self) -> str:
        outcome = "no failure" if self.failure is None else self.failure.kind
        return f"<Result: {outcome} in {self.schedules} schedules>"


def search(
    main: Callable[[Tank], Awaitable[T]],
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
    interrupt: bool = False,
    after_interrupt: Callable[[Tank], Awaitable[Any]] | None = None,
    replay: Callable[[str], str] | None = None,
    shard: int = 0,
    watch: Watch = lambda _: None,
) -> Result[T]:
    """Run `main(tank)` under up to `schedules` schedules, or for so many real `seconds`, until one fails.

    The first run is FIFO; the others follow the `policy` within the `level`. A failure is repeated,
    shrunk towards FIFO, and looked for at gentler levels. With `interrupt` some runs interrupt the program,
    as Ctrl-C does, while `main` waits; `after_interrupt` then runs on what it has kept, and both
    are judged together. A `workload`, which `main` finds as
    `tank.workload`, is then shrunk too: fewer items, then fewer workers. `replay` returns for
    a token the line that repeats the failure, by default a call of `wavetank.simulate`. Searches with
    different `shard` numbers take different schedules of the policy, where it makes random choices;
    `watch` is called with each run, and ends the search by returning something true.

    Raises:
        Diverged: a failing schedule does not repeat.
        ScenarioError: the scenario cannot be found or read.
        TypeError: `after_interrupt` is no coroutine function.
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
        interrupt=interrupt,
        after_interrupt=after_interrupt,
    )
    searching = ScheduleSearch(main, scenario, options, replay=replay, shard=shard, watch=watch)
    searching.until_failure()
    return searching.result()


@final
class ScheduleSearch:
    """A search in two parts: runs `until_failure`, and then the `result`, for which a failure is shrunk.

    The arguments are those of `search`.
    """

    def __init__(
        self,
        main: Callable[[Tank], Awaitable[Any]],
        scenario: str | os.PathLike[str] | Scenario,
        options: SearchOptions,
        *,
        replay: Callable[[str], str] | None = None,
        shard: int = 0,
        watch: Watch = lambda _: None,
    ) -> None:
        self._options = options
        self._level = Level.parse(options.level)
        self._policy = policy_named(options.policy, seed=_seed_of(shard, options.seed), level=self._level)
        # Whether the waves and faults met a request is judged of all runs together.
        judged = tuple(check for check in options.named_checks if check != "exercised")
        self._trials = Trials(main, load_scenario(scenario), replace(options, checks=judged))
        self._line = replay or call(main, scenario, options)
        self._watch = watch
        self._began = real_now()
        self._distinct: dict[int, None] = {}
        self._choices: Counter[str] = Counter()
        self._unmet: dict[str, None] | None = None
        self.made = 0
        """Complete runs so far."""
        self.failed: Trial | None = None
        """The first run that failed."""

    def until_failure(self) -> Trial | None:
        """Make the runs up to the first that fails; `None` if none of them does."""
        with self._trials.borrowed():
            plan: Plan | None = Plan(Fifo(), self._level, "fifo")
            while plan is not None:
                trial = self._trials.run_confirmed(plan)
                self.made += 1
                enough = self._learn(trial)
                if trial.failure is not None:
                    self.failed = trial
                    break
                plan = None if enough or self._at_limit else self._policy.plan()
        return self.failed

    @property
    def _at_limit(self) -> bool:
        seconds = self._options.seconds
        late = seconds is not None and real_now() - self._began >= int(seconds * SECOND)
        return late or self.made >= self._options.schedules

    def _learn(self, trial: Trial) -> bool:
        """Learn from a run; whether the search may end."""
        record = trial.record
        assert record is not None
        self._policy.learn(record)
        self._distinct[hash((trial.level, tuple(record.taken), tuple(record.widths)))] = None
        self._choices.update(record.kinds)
        if self._unmet is None:
            self._unmet = dict.fromkeys(missed(trial.log))
        elif self._unmet:
            still = missed(trial.log)
            self._unmet = {each: None for each in self._unmet if each in still}
        return bool(self._watch(trial))

    def result(self) -> Result[Any]:
        """The result of the search, with the failure repeated and shrunk.

        Raises:
            Diverged: it does not repeat.
        """
        run, unmet = None, ", ".join(self._unmet or ())
        if self.failed is not None:
            with self._trials.borrowed():
                run = failing_run(self._trials, self.failed, self._level, self.made, self._line)
        elif "exercised" in self._options.named_checks and unmet:
            with self._trials.borrowed():
                run = unexercised(self._trials.run(), unmet, self.made)
        return Result(
            failure=run,
            schedules=self.made,
            distinct=len(self._distinct),
            after=self._trials.made - self.made,
            shrinking=self._trials.shrinking,
            choices=dict(sorted(self._choices.items())),
            seconds=(real_now() - self._began) / SECOND,
            proved=None if run is not None else self._policy.proved,
            unmet=unmet,
        )


def _seed_of(shard: int, seed: int) -> int:
    """The policy's seed; the provider's stays the same in every shard."""
    return seed if not shard else int(dice(seed, "shard", shard).random() * (1 << 53))
