"""Make the schedule of a failure again that was kept from an earlier run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ...scenario import Scenario, cut_down, digest
from ...sim.choices import ORDERS, Fifo, Level
from ...sim.policies.plan import Plan
from ...sim.token import FIFO, THREADS, Schedule
from ..runs.divergence import ending_as, repeated
from ..runs.finished_run import Run
from ..runs.run_options import SearchOptions
from ..runs.trial_runs import Trials
from ..tank import Tank
from .failing_run import found_lines
from .failing_schedule import Finding, planned


def within(schedule: Schedule, level: str) -> bool:
    """Whether a search at this level could make the schedule."""
    wanted = Level.parse(level)
    gentler = ORDERS.index(schedule.level.order) <= ORDERS.index(wanted.order)
    return gentler and (wanted.stalls or not schedule.level.stalls)


def belongs(schedule: Schedule, scenario: Scenario, options: SearchOptions) -> bool:
    """Whether a schedule is one of this scenario, and of this backend or of threads."""
    return schedule.digest == digest(scenario) and schedule.backend in (options.backend, THREADS)


def failing_again(
    main: Callable[[Tank], Any],
    scenario: Scenario,
    options: SearchOptions,
    schedule: Schedule,
    replay: Callable[[str], str],
) -> Run[Any] | None:
    """The run that fails under a kept schedule, in the same way or another; `None` if it passes.

    Unlike a token that is repeated, it may belong to another version of the program: what counts is that
    it fails.

    Raises:
        Diverged: the failure does not repeat.
    """
    cut, workload = schedule.cut, options.workload
    checks = tuple(check for check in options.named_checks if check != "exercised")
    left = workload and workload.first(cut.items, cut.workers)

    def plan() -> Plan:
        return planned(schedule.deviations, schedule.level) or Plan(Fifo(), FIFO, "fifo")

    trials = Trials(
        main,
        cut_down(scenario, cut.scenario),
        replace(options, seed=schedule.seed, checks=checks, workload=left),
    )
    with trials.borrowed():
        failed = trials.run_confirmed(plan(), plan)
        if failed.failure is None:
            return None
        repeated(trials, failed)
        again = planned(failed.deviations, schedule.level, failed.end.cpu_spent_at)
        trial = trials.run(again, narrated=True)
    made = replace(ending_as(schedule, trials, trial), deviations=failed.deviations)
    found = found_lines(scenario, options, Finding(trial, made, 0), "a schedule kept from an earlier run")
    return replace(trial.run, schedule=made.token(), replay=replay(made.token()), found=tuple(found))
