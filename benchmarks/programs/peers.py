"""The other tools, each making complete runs of the pipeline; none of them is imported until asked for.

This module and what it imports know nothing of wavetank: it runs in an environment of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from importlib import import_module
from itertools import count
from typing import Any, Final

from .pipeline import CONSUMERS, Pipeline, main

Runs = Callable[[int], int]
"""Makes about so many complete runs, and returns how many it made."""

_seeds: Final = count(1)

DETANGLE: Final[dict[str, dict[str, float]]] = {
    "detangle": {},
    "detangle, late": {"timer_jitter": 0.01, "step_cost": 0.001},
}
"""Its options, in seconds: what a timer may be late, as in its README, and what each step takes."""


def _whole(report: object) -> None:
    if report is not None:
        raise RuntimeError(f"the pipeline failed: {report}")


def simloop_runs(number: int) -> int:
    """Uniform orders, from a new seed in each run."""
    seeds = [next(_seeds) for _ in range(number)]
    _whole(import_module("simloop").explore(main, seeds))
    return number


def detangle_runs(options: dict[str, float], number: int) -> int:
    """Its portfolio of strategies, from a new seed; no failure is kept."""
    import_module("detangle").explore(main, runs=number, seed=next(_seeds), database=False, **options)
    return number


def simloom_runs(number: int) -> int:
    """Uniform orders, from a new seed in each run."""
    run = import_module("simloom").run
    for _ in range(number):
        run(main, seed=next(_seeds))
    return number


def frontrun_runs(number: int) -> int:
    """Orders by dynamic partial-order reduction; it is handed the tasks, since it sees no others."""
    explore = import_module("frontrun").explore
    tasks: list[Callable[[Pipeline], Coroutine[Any, Any, None]]] = [Pipeline.produce]
    tasks += [Pipeline.consume] * CONSUMERS
    number = min(number, _FEW)

    async def explored() -> Any:
        return await explore(
            Pipeline, tasks, lambda pipeline: pipeline.whole, clock="virtual", max_executions=number
        )

    result = asyncio.run(explored())
    if not result.property_holds:
        raise RuntimeError(f"the pipeline failed: {result.explanation}")
    return int(result.num_explored)


def solipsism_runs(number: int) -> int:
    """Virtual time alone."""
    event_loop = import_module("async_solipsism").EventLoop
    for _ in range(number):
        with asyncio.Runner(loop_factory=event_loop) as runner:
            runner.run(main())
    return number


def looptime_runs(number: int) -> int:
    """Virtual time alone."""
    new_event_loop = import_module("looptime").new_event_loop
    for _ in range(number):
        with asyncio.Runner(loop_factory=lambda: new_event_loop(start=0)) as runner:
            runner.run(main())
    return number


def trio_runs(number: int) -> int:
    """trio's own order and its clock that jumps."""
    trio = import_module("trio")
    clock = import_module("trio.testing").MockClock
    for _ in range(number):
        trio.run(main, clock=clock(autojump_threshold=0))
    return number


_FEW: Final = 10

PEERS: Final[dict[str, Runs]] = {
    **{name: partial(detangle_runs, options) for name, options in DETANGLE.items()},
    "simloop": simloop_runs,
    "simloom": simloom_runs,
    "frontrun": frontrun_runs,
    "async-solipsism": solipsism_runs,
    "looptime": looptime_runs,
    "trio MockClock": trio_runs,
}
