"""What a step of the explorer costs as there are more tasks, and as a run has more steps.

Each step may be chosen (uniform, at level `any`, with stalls) or is taken in FIFO order. In one
program all tasks can always run, in the other all of them sleep and wake at instants of their own,
so that a stall may pass any of them. The other policies look at every task that can run; their
lines show what that costs. Microseconds of CPU time per step, the best of several rounds.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import anyio
import anyio.lowlevel

from wavetank.sim.asyncio_run import run_asyncio
from wavetank.sim.choices import Chooser, Fifo, Level, Recorder
from wavetank.sim.dice import dice
from wavetank.sim.ended import Ended
from wavetank.sim.policies.pct import Prioritised
from wavetank.sim.policies.random import Uniform
from wavetank.sim.policies.random_choosers import ALWAYS, DeviationRates
from wavetank.sim.policies.urw import Weighted
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers
from wavetank.sim.trio_run import run_trio

TASKS: Final = (10, 100, 1_000)
STEPS: Final = (2_000, 20_000, 100_000)
STEPS_EACH: Final = 20_000
TASKS_EACH: Final = 100
ROUNDS: Final = 3

LOGARITHMIC: Final = 3.0
"""log(1000) / log(10)."""

CONSTANT: Final = 1.25

_MIX: Final = DeviationRates(stalls=ALWAYS)
_TAIL: Final = 1_000_000_000
_ENGINES: Final[dict[str, Callable[..., Ended]]] = {"asyncio": run_asyncio, "trio": run_trio}

Work = Callable[[int, int], Coroutine[Any, Any, None]]


async def step(_: int, count: int) -> None:
    """Let others run, so many times."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def sleep(number: int, count: int) -> None:
    """Sleep for a length of its own, so many times."""
    for _ in range(count):
        await anyio.sleep(0.02 + number * 1e-5)


CHOOSERS: Final[dict[str, Callable[[], Chooser]]] = {
    "fifo": Fifo,
    "random": lambda: Uniform(dice("scaling"), _MIX, tail=_TAIL),
    "urw": lambda: Weighted(dice("scaling"), _MIX, tail=_TAIL, weights=Counter()),
    "pct": lambda: Prioritised(dice("scaling"), _MIX, tail=_TAIL, depth=3, horizon=STEPS_EACH),
}


def cost(backend: str, policy: str, work: Work, tasks: int, steps: int) -> float:
    """Microseconds of CPU time for each step of one run."""

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for number in range(tasks):
                group.start_soon(work, number, max(steps // tasks, 1))

    level = Level("fifo", stalls=False) if policy == "fifo" else Level("any")
    scheduler = Scheduler(Timers())
    scheduler.renew(
        Timers(), chooser=Recorder(CHOOSERS[policy]()), level=level, step_budget=10 * steps + 10_000
    )
    gc.collect()
    gc.disable()  # as in a search, which collects between its runs
    began = time.process_time()
    end = _ENGINES[backend](main, scheduler, started=_ignore, ended=_ignore)
    took = time.process_time() - began
    gc.enable()
    scheduler.close()
    if end.error is not None:
        raise SystemExit(f"the program failed: {end}")
    return took / end.steps * 1e6


def _ignore(_: object) -> None:
    """The engine tells of its start and of its end."""


def best(rounds: int, measure: Callable[[Any], float], sizes: Sequence[int]) -> list[float]:
    """The least cost for each size; the sizes take turns."""
    rows = [[measure(size) for size in sizes] for _ in range(rounds)]
    return [min(column) for column in zip(*rows, strict=True)]


def heading(title: str, what: str, sizes: Sequence[int]) -> str:
    """The lines above a table."""
    return f"\n{title}\n{what:<26}{''.join(f'{size:>10}' for size in sizes)}{'growth':>8}  goal"


def row(title: str, costs: Sequence[float], allowed: float | None) -> str:
    """One line of a table."""
    growth = costs[-1] / costs[0]
    verdict = "" if allowed is None else f"at most {allowed:g}: {'met' if growth <= allowed else 'missed'}"
    return f"{title:<26}{''.join(f'{each:>10.1f}' for each in costs)}{growth:>8.2f}  {verdict}"


def over_tasks(rounds: int) -> None:
    """Print what a step costs among more and more tasks."""
    print(heading(f"us per step, {STEPS_EACH} steps", "tasks", TASKS))
    for backend in _ENGINES:
        for name, work in (("ready", step), ("asleep", sleep)):
            for policy in CHOOSERS:

                def measure(
                    tasks: int, policy: str = policy, work: Work = work, backend: str = backend
                ) -> float:
                    return cost(backend, policy, work, tasks, STEPS_EACH)

                allowed = LOGARITHMIC if policy in ("fifo", "random") else None
                print(row(f"{backend} {name}, {policy}", best(rounds, measure, TASKS), allowed), flush=True)


def over_steps(rounds: int) -> None:
    """Print what a step costs in longer and longer runs."""
    print(heading(f"us per step, {TASKS_EACH} tasks", "steps", STEPS))
    for backend in _ENGINES:
        for policy in ("fifo", "random"):

            def measure(steps: int, policy: str = policy, backend: str = backend) -> float:
                return cost(backend, policy, step, TASKS_EACH, steps)

            print(row(f"{backend} {policy}", best(rounds, measure, STEPS), CONSTANT), flush=True)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    over_tasks(options.rounds)
    over_steps(options.rounds)


if __name__ == "__main__":
    main()
