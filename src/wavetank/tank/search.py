"""Search schedules of a program for one that fails, shrink it, and say where it can be reached."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, TypeVar, final

from ..checks import Checks, named
from ..checks.exercised import missed
from ..clock import real_now
from ..scenario import Scenario, load_scenario
from ..sim.choices import Fifo, Level
from ..sim.dice import dice
from ..sim.policies import policy_named
from ..sim.policies.plan import Plan, Policy
from .assembly import checked_seed
from .outcome import failing_run, unexercised
from .replay_line import call
from .run import Run
from .tank import Tank
from .trials import Trial, Trials
from .workload import Workload

T = TypeVar("T")

DEFAULT_SCHEDULES: Final = 1000

Watch = Callable[[Trial], object]
"""Sees the choices of each run that was made; True ends the search."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Generic[T]):
    """What a search came to.

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
        came_to = "no failure" if self.failure is None else self.failure.kind
        return f"<Result: {came_to} in {self.schedules} schedules>"


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
    replay: Callable[[str], str] | None = None,
    shard: int = 0,
    watch: Watch = lambda _: None,
) -> Result[T]:
    """Run `main(tank)` under up to `schedules` schedules, or for so many real `seconds`, until one fails.

    The first run is FIFO; the others follow the `policy` within the `level`. A failure is repeated,
    shrunk towards FIFO, and looked for at gentler levels. A `workload`, which `main` finds as
    `tank.workload`, is then shrunk too: fewer items, then fewer workers. `replay` makes of a token
    the line that repeats the failure; by default that is a call of `wavetank.simulate`. Searches with
    different `shard` numbers take different schedules of the policy, where it throws dice; `watch` is
    shown each run, and ends the search by returning something true.

    Raises:
        Diverged: a failing schedule does not repeat.
        ScenarioError: the scenario cannot be found or read.
        UnknownCheck: a check has no such name.
        ValueError: another argument is out of range.
    """
    hunt = Hunt(
        main,
        scenario,
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
        replay=replay,
        shard=shard,
        watch=watch,
    )
    hunt.look()
    return hunt.result()


@final
class Hunt:
    """A search in two parts: `look` for a run that fails, then make of it a `result`.

    The arguments are those of `search`.
    """

    def __init__(
        self,
        main: Callable[[Tank], Awaitable[Any]],
        scenario: str | os.PathLike[str] | Scenario,
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
        replay: Callable[[str], str] | None = None,
        shard: int = 0,
        watch: Watch = lambda _: None,
    ) -> None:
        if not isinstance(schedules, int) or schedules < 1:
            raise ValueError(f"schedules={schedules!r}: make at least 1 run")
        if seconds is not None and not 0 <= seconds < math.inf:
            raise ValueError(f"seconds={seconds!r}: a search takes a number of real seconds, 0 or more")
        loaded, self._names = load_scenario(scenario), named(checks)
        self._level = Level.parse(level)
        self._trials = Trials(
            main,
            loaded,
            backend=backend,
            seed=checked_seed(seed),
            checks=tuple(name for name in self._names if name != "exercised"),
            max_virtual_seconds=max_virtual_seconds,
            max_cpu_seconds=max_cpu_seconds,
            workload=workload,
        )
        chosen = policy_named(policy, seed=_seed_of(shard, seed), level=self._level)
        self._looking = _Looking(self._trials, chosen, self._level, schedules, seconds, watch)
        self._line = replay or call(
            main,
            scenario,
            backend=backend,
            max_virtual_seconds=max_virtual_seconds,
            max_cpu_seconds=max_cpu_seconds,
            checks=checks if isinstance(checks, str) else self._names,
            workload=workload,
        )
        self.failed: Trial | None = None

    @property
    def made(self) -> int:
        """Complete runs so far."""
        return self._looking.made

    def look(self) -> Trial | None:
        """Make the runs up to the first that fails, which is also kept as `failed`."""
        with self._trials.borrowed():
            self.failed = self._looking.until_one_fails()
        return self.failed

    def result(self) -> Result[Any]:
        """What the search came to, with the failure repeated and shrunk.

        Raises:
            Diverged: it does not repeat.
        """
        looking, run = self._looking, None
        if self.failed is not None:
            with self._trials.borrowed():
                run = failing_run(self._trials, self.failed, self._level, looking.made, self._line)
        elif "exercised" in self._names and looking.unmet:
            with self._trials.borrowed():
                run = unexercised(self._trials.run(), looking.unmet, looking.made)
        return looking.result(run)


def _seed_of(shard: int, seed: int) -> int:
    """The policy's seed; the provider's stays the same in every shard."""
    return seed if not shard else int(dice(seed, "shard", shard).random() * (1 << 53))


@final
class _Looking:
    """One search under way."""

    def __init__(
        self,
        trials: Trials,
        policy: Policy,
        level: Level,
        schedules: int,
        seconds: float | None,
        watch: Watch,
    ) -> None:
        self._trials = trials
        self._policy = policy
        self._level = level
        self._schedules = schedules
        self._began = real_now()
        self._watch = watch
        self._until = None if seconds is None else self._began + int(seconds * 1e9)
        self._courses: dict[int, None] = {}
        self._choices: Counter[str] = Counter()
        self._unmet: dict[str, None] | None = None
        self.made = 0

    def until_one_fails(self) -> Trial | None:
        """The first run that fails, `None` if none of them does."""
        plan: Plan | None = Plan(Fifo(), self._level, "fifo")
        while plan is not None:
            trial = self._trials.sure(plan)
            self.made += 1
            enough = self._note(trial)
            if trial.failure is not None:
                return trial
            if (
                enough
                or self.made >= self._schedules
                or (self._until is not None and real_now() >= self._until)
            ):
                break
            plan = self._policy.plan()
        return None

    def _note(self, trial: Trial) -> bool:
        """Learn from a run; whether it is enough."""
        record = trial.record
        assert record is not None
        self._policy.learn(record)
        self._courses[hash((trial.level, tuple(record.taken), tuple(record.widths)))] = None
        self._choices.update(record.kinds)
        if self._unmet is None:
            self._unmet = dict.fromkeys(missed(trial.log))
        elif self._unmet:
            still = missed(trial.log)
            self._unmet = {each: None for each in self._unmet if each in still}
        return bool(self._watch(trial))

    @property
    def unmet(self) -> str:
        """The waves and faults that no run met, in words."""
        return ", ".join(self._unmet or ())

    def result(self, failure: Run[T] | None) -> Result[T]:
        """What it came to."""
        return Result(
            failure=failure,
            schedules=self.made,
            distinct=len(self._courses),
            after=self._trials.made - self.made,
            shrinking=self._trials.shrinking,
            choices=dict(sorted(self._choices.items())),
            seconds=(real_now() - self._began) / 1e9,
            proved=None if failure is not None else self._policy.proved,
            unmet=self.unmet,
        )
