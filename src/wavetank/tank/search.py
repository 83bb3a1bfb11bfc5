"""Search schedules of a program for one that fails, shrink it, and say where it can be reached."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Generic, TypeVar, final

from ..checks import named
from ..checks.exercised import missed
from ..clock import real_now
from ..scenario import Scenario, load_scenario
from ..sim.choices import Fifo, Level, Recorder
from ..sim.dice import dice
from ..sim.policies import policy_named
from ..sim.policies.plan import Plan, Policy
from .assembly import checked_seed
from .outcome import failing_run, unexercised
from .replay_line import call
from .run import Run
from .tank import Tank
from .trials import Trial, Trials

T = TypeVar("T")

DEFAULT_SCHEDULES: Final = 1000

Watch = Callable[[Recorder, Level], bool]
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
    checks: str | Iterable[str] = "default",
    max_virtual_seconds: float | None = None,
    seconds: float | None = None,
    replay: Callable[[str], str] | None = None,
    shard: int = 0,
    watch: Watch | None = None,
) -> Result[T]:
    """Run `main(tank)` under up to `schedules` schedules, or for so many real `seconds`, until one fails.

    The first run is FIFO; the others follow the `policy` within the `level`. A failure is repeated,
    shrunk towards FIFO, and looked for at gentler levels. `replay` makes of a token the line that
    repeats the failure; by default that is a call of `wavetank.simulate`. Searches with different
    `shard` numbers take different schedules of the policy, where it throws dice; `watch` sees each run.

    Raises:
        Diverged: a failing schedule does not repeat.
        ScenarioError: the scenario cannot be found or read.
        UnknownCheck: a check has no such name.
        ValueError: another argument is out of range.
    """
    if not isinstance(schedules, int) or schedules < 1:
        raise ValueError(f"schedules={schedules!r}: make at least 1 run")
    loaded, wanted, names = load_scenario(scenario), Level.parse(level), named(checks)
    trials = Trials(
        main,
        loaded,
        backend=backend,
        seed=checked_seed(seed),
        checks=tuple(name for name in names if name != "exercised"),
        max_virtual_seconds=max_virtual_seconds,
    )
    chosen = policy_named(policy, seed=_seed_of(shard, seed), level=wanted)
    looking = _Looking(trials, chosen, wanted, schedules, seconds, watch)
    line = replay or call(scenario, backend=backend, max_virtual_seconds=max_virtual_seconds)
    with trials.borrowed():
        failed = looking.until_one_fails()
        run = failing_run(trials, failed, wanted, looking.made, line) if failed is not None else None
        if run is None and "exercised" in names and looking.unmet:
            run = unexercised(trials.run(), looking.unmet, looking.made)
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
        watch: Watch | None,
    ) -> None:
        self._trials = trials
        self._policy = policy
        self._level = level
        self._schedules = schedules
        self._began = real_now()
        self._watch = watch or (lambda *_: False)
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
        return self._watch(record, trial.level)

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
