"""wavetank's contestants: searches as a user starts them, and the engine below them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, Final

import wavetank
from wavetank import Scenario, Tank
from wavetank.sim.asyncio_run import run_asyncio
from wavetank.sim.choices import Fifo, Level, Recorder
from wavetank.sim.dice import dice
from wavetank.sim.ended import Ended
from wavetank.sim.policies.plan import Plan
from wavetank.sim.policies.random import Uniform
from wavetank.sim.policies.random_choosers import ALWAYS, DeviationRates
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers
from wavetank.sim.trio_run import run_trio
from wavetank.tank.runs.run_options import RunOptions
from wavetank.tank.runs.trial_runs import Trials

from . import pipeline
from .batches import direct
from .peers import Runs

_TAIL: Final = 1_000_000

_seeds: Final = count(1)


async def _pipeline(_: Tank) -> None:
    await pipeline.main()


def searches(
    main: Callable[[Tank], Any], scenario: str | Scenario, backend: str, policy: str, number: int
) -> int:
    """One search of so many schedules, with the default checks."""
    result = wavetank.search(
        main, scenario, schedules=number, policy=policy, seed=next(_seeds), backend=backend
    )
    result.check()
    return result.schedules


def fifo_runs(backend: str, number: int) -> int:
    """What a search makes of FIFO order, again and again: whole worlds, judged by the default checks."""
    trials = Trials(
        _pipeline,
        wavetank.load_scenario("calm"),
        RunOptions(backend=backend, checks=("liveness", "exactly_once", "right_answer")),
    )
    with trials.borrowed():
        for _ in range(number):
            assert trials.run(Plan(Fifo(), Level("fifo", stalls=False), "fifo")).failure is None
    return number


def engine_runs(backend: str, stalls: bool, number: int) -> int:
    """The engine below a search: uniform orders, no fake, no event log, no checks."""
    run: Callable[..., Ended] = run_asyncio if backend == "asyncio" else run_trio
    scheduler = Scheduler(Timers())
    for _ in range(number):
        chooser = Uniform(dice("engine", next(_seeds)), DeviationRates(stalls=ALWAYS), tail=_TAIL)
        scheduler.renew(Timers(), chooser=Recorder(chooser), level=Level("any", stalls=stalls))
        end = run(pipeline.main, scheduler, started=_ignore, ended=_ignore)
        assert end.error is None, end
        scheduler.close()
    return number


def _ignore(_: object) -> None:
    """The engine tells of its start and of its end."""


def _contestants() -> dict[str, Runs]:
    found: dict[str, Runs] = {}
    for backend in ("asyncio", "trio"):
        for policy in ("portfolio", "random"):
            found[f"{backend} {policy}"] = partial(searches, _pipeline, "calm", backend, policy)
        found[f"{backend} fifo"] = partial(fifo_runs, backend)
        found[f"{backend} engine"] = partial(engine_runs, backend, False)
        found[f"{backend} engine, stalls"] = partial(engine_runs, backend, True)
        found[f"direct {backend}"] = partial(searches, direct, "cascade", backend, "portfolio")
    return found


OURS: Final = _contestants()
