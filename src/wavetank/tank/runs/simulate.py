"""Run a program once against a scenario in virtual time."""

from __future__ import annotations

import os
import warnings
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypedDict, TypeVar, Unpack, cast, overload

from ...checks import Checks
from ...checks.history import unmatched
from ...scenario import Scenario, cut_down, digest, load_scenario
from ...sim.fingerprint import is_coroutine_function
from ...sim.policies.plan import Plan
from ...sim.token import THREADS, Schedule
from ..failure import UnmatchedLedger
from ..tank import Tank
from ..workload import Workload, program_number
from .divergence import ending_as, on_course
from .external_schedule import ExternalSchedule
from .finished_run import Run
from .replay_line import call
from .run_options import RunOptions
from .trial_runs import Trial, Trials

T = TypeVar("T")


class SimulateOptions(TypedDict, total=False):
    """What `simulate` takes by keyword, for its two signatures."""

    backend: str
    seed: int
    schedule: str | ExternalSchedule | None
    max_virtual_seconds: float | None
    max_cpu_seconds: float | None
    checks: Checks
    workload: Workload | None
    interrupt: bool
    after_interrupt: Callable[[Tank], Any] | None


@overload
def simulate(
    main: Callable[[Tank], Awaitable[T]],
    scenario: str | os.PathLike[str] | Scenario = ...,
    **options: Unpack[SimulateOptions],
) -> Run[T]: ...


@overload
def simulate(
    main: Callable[[Tank], T],
    scenario: str | os.PathLike[str] | Scenario = ...,
    **options: Unpack[SimulateOptions],
) -> Run[T]: ...


def simulate(
    main: Callable[[Tank], Any],
    scenario: str | os.PathLike[str] | Scenario = "calm",
    *,
    backend: str = "asyncio",
    seed: int = 0,
    schedule: str | ExternalSchedule | None = None,
    max_virtual_seconds: float | None = None,
    max_cpu_seconds: float | None = None,
    checks: Checks = "default",
    workload: Workload | None = None,
    interrupt: bool = False,
    after_interrupt: Callable[[Tank], Any] | None = None,
) -> Run[Any]:
    """Run `main(tank)` in virtual time and judge what happened.

    A `main` that is a plain function runs in no event loop, on no `backend`; it may start threads.
    `scenario` is a catalogue name, a path to a TOML file or a `Scenario`. `schedule` is a token, which
    brings its own seed and order (else it is FIFO), or what `strategies.schedules()` draws. `main` has the
    `workload` as `tank.workload`. `max_cpu_seconds` bounds the CPU time without an outcome. `interrupt` and
    `after_interrupt` are those of the search that has found the token; without a token nothing interrupts.

    Raises:
        Diverged: the run took another course than the one the token was made from.
        ScenarioError: the scenario cannot be found or read.
        TokenError: the token is damaged or belongs to another program, scenario or backend.
        UnknownCheck: a check has no such name.
        ValueError: another argument is out of range.
    """
    options = RunOptions(
        backend=backend,
        seed=seed,
        checks=checks,
        max_virtual_seconds=max_virtual_seconds,
        max_cpu_seconds=max_cpu_seconds,
        workload=workload,
        interrupt=interrupt,
        after_interrupt=after_interrupt,
    )
    loaded = load_scenario(scenario)
    here = Schedule(backend, seed, digest(loaded))
    own = schedule if isinstance(schedule, ExternalSchedule) else None
    if schedule is not None and own is None:
        here = _checked(cast(str, schedule), here, main, workload)
    left = workload and workload.first(here.cut.items, here.cut.workers)
    trials = Trials(
        main, cut_down(loaded, here.cut.scenario), replace(options, seed=here.seed, workload=left)
    )
    with trials.borrowed():
        if own is not None:
            trial, here = _as_chosen(trials, here, own)
        else:
            trial = on_course(trials, here) if here.chosen else trials.run(attentive=True)
    if warning := unmatched(trial.log):
        warnings.warn(warning, UnmatchedLedger, stacklevel=2)
    if trial.end.cpu_spent_at is not None and not here.chosen:
        here = ending_as(here, trials, trial)
    token = replace(here, backend=trial.log.header.backend).token()
    return _with_token(trial.run, token, call(main, scenario, options)(token), own)


def _with_token(run: Run[Any], token: str, replay: str, own: ExternalSchedule | None) -> Run[Any]:
    """The run with what repeats it, of which the author of a schedule of their own hears."""
    if own is None:
        return replace(run, schedule=token, replay=replay)
    own.ended(token)
    return replace(run, schedule=token, replay=replay, found=(f"{run.kind}, in an order that was drawn",))


def _checked(token: str, here: Schedule, main: Callable[[Tank], Any], workload: Workload | None) -> Schedule:
    """The schedule of a token, if it belongs to this program, scenario and backend.

    Raises:
        TokenError: it does not.
    """
    schedule = Schedule.parse(token)
    plain = schedule.backend == THREADS and not is_coroutine_function(main)
    return schedule.matching(
        backend=THREADS if plain else here.backend,
        digest=here.digest,
        program=program_number(main, workload),
    )


def _as_chosen(trials: Trials, schedule: Schedule, own: ExternalSchedule) -> tuple[Trial, Schedule]:
    """A run in somebody else's order, and what repeats it."""
    trial = trials.run(Plan(own, own.level, "drawn"), narrated=True)
    assert trial.record is not None
    deviations = trial.record.deviations
    if not deviations:
        return trial, schedule
    return trial, replace(ending_as(schedule, trials, trial), level=own.level, deviations=deviations)
