"""Lets one tool run a specimen of the museum, or its twin, until it fails or a budget is used up.

Called as `python -m benchmarks.programs.spotting TOOL SPECIMEN buggy|twin SECONDS`, in an
environment that has wavetank and the tool; prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from importlib import import_module
from itertools import count
from typing import Any, Final, NamedTuple

import wavetank
from wavetank.museum import SPECIMENS, Specimen
from wavetank.scenario import load_scenario
from wavetank.tank.runs.run_options import SearchOptions
from wavetank.tank.search.search import ScheduleSearch

from . import bridge, handing
from .peers import DETANGLE

DAY: Final = 24 * 3600.0
ENDLESS: Final = 1_000_000
"""More runs than anything makes in its time."""

SLOW: Final = 10.0
"""Real seconds more for a run that frontrun traces line by line."""

Main = Callable[[], Coroutine[Any, Any, None]]


class Spotted(NamedTuple):
    """What a tool came to: runs made, the one that failed or 0, and how that was seen."""

    runs: int
    first: int
    how: str


def program(specimen: Specimen, twin: bool, seed: int) -> Main:
    """One run of the specimen on the loop that awaits it; the fake's picks have a seed of their own."""
    return partial(
        bridge.run,
        specimen.twin if twin else specimen.buggy,
        load_scenario(specimen.scenario),
        seed=seed,
        checks=specimen.checks,
        seconds=specimen.max_virtual_seconds or DAY,
    )


def told(error: BaseException) -> str:
    """How a failure was seen: the tool's own word, the end of the budget, a check of ours, or an error."""
    if isinstance(error, bridge.Failed):
        return str(error).partition(":")[0]
    if isinstance(error, bridge.Spent):
        return "never done"
    if isinstance(error, BaseExceptionGroup):
        return told(error.exceptions[0])
    name = type(error).__name__
    return "deadlock" if "Deadlock" in name else f"raised {name}"


def simloop(main: Main, seed: int) -> BaseException | None:
    """Uniform orders."""
    report = import_module("simloop").explore(main, [seed])
    return None if report is None else report.exception


def simloom(main: Main, seed: int) -> BaseException | None:
    """Uniform orders."""
    run = import_module("simloom").run
    # After a run it calls back what anyio left in the loop, without a running loop, and reports what that
    # raises: that says nothing of the program.
    error: BaseException | None = run(main, seed=seed, raise_on_error=False, on_unhandled="record").error
    return error


def in_real_time(main: Main, limit: float) -> BaseException | None:
    """The loop of asyncio, on the machine's clock and with its jitter."""

    async def limited() -> None:
        async with asyncio.timeout(limit):
            await main()

    try:
        asyncio.run(limited())
    except TimeoutError:
        return bridge.Spent(f"not done after {limit:g} s")
    except Exception as error:
        return error
    return None


RUN_BY: Final[dict[str, Callable[[Main, int], BaseException | None]]] = {
    "simloop": simloop,
    "simloom": simloom,
}


def spot(tool: str, specimen: Specimen, twin: bool, seconds: float) -> Spotted:
    """Run until the first failure, for at most so many seconds of CPU time."""
    if tool == "wavetank":
        return ours(specimen, twin, seconds)
    if tool in DETANGLE:
        return detangle(specimen, twin, seconds, **DETANGLE[tool])
    if tool == "frontrun":
        return frontrun(specimen, twin, seconds)
    if tool == "asyncio":
        limit = _patience(specimen)
        return repeated(
            lambda number: in_real_time(program(specimen, twin, number), limit), time.perf_counter, seconds
        )
    run = RUN_BY[tool]
    return repeated(lambda number: run(program(specimen, twin, number), number), time.process_time, seconds)


def repeated(
    run: Callable[[int], BaseException | None], clock: Callable[[], float], seconds: float
) -> Spotted:
    """Make runs until one fails or the clock has gone on for so long."""
    began, number = clock(), 0
    while clock() - began < seconds:
        number += 1
        if (error := run(number)) is not None:
            return Spotted(number, number, told(error))
    return Spotted(number, 0, "")


def _patience(specimen: Specimen) -> float:
    """Real seconds after which a run is taken for hung: thrice as long as the twin takes, and a second."""
    twin = wavetank.simulate(
        specimen.twin, specimen.scenario, max_virtual_seconds=specimen.max_virtual_seconds
    )
    return min(3 * twin.virtual_seconds + 1, specimen.max_virtual_seconds or DAY)


def frontrun(specimen: Specimen, twin: bool, seconds: float) -> Spotted:
    """As one task, then with its workers handed over."""
    limit = _patience(specimen) + SLOW
    explored = [handing.as_one_task(program(specimen, twin, 1), seconds, limit, told)]
    if not explored[0].failure and handing.can_hand_over(specimen):
        explored.append(handing.with_workers_handed_over(specimen, twin, seconds, limit))
    runs, last = sum(one.runs for one in explored), explored[-1]
    if last.failure:
        return Spotted(runs, runs, last.failure)
    return Spotted(runs, 0, "" if all(one.conclusive for one in explored) else "inconclusive")


class TimeUp(Exception):
    """The CPU time of a tool is used up that counts its runs itself."""


def detangle(specimen: Specimen, twin: bool, seconds: float, **options: float) -> Spotted:
    """Searches of its portfolio of strategies, without shrinking and without failures kept.

    A run of 200,000 steps ends its search and is no verdict: an order that never lets one task go on
    makes a program that polls look so. Another search follows, with the next seed.
    """
    tool, began, numbers, made = import_module("detangle"), time.process_time(), count(1), 0

    async def run() -> None:
        number = next(numbers)
        if time.process_time() - began > seconds:
            raise TimeUp
        await program(specimen, twin, number)()

    for seed in count(1):
        try:
            return Spotted(
                made
                + tool.explore(run, runs=ENDLESS, seed=seed, shrink=False, database=False, **options).runs,
                0,
                "",
            )
        except tool.BugFound as found:
            made, error = made + found.report.runs, found.report.failure.exception or found
        if isinstance(error, TimeUp):
            return Spotted(made - 1, 0, "")
        if not isinstance(error, tool.StepLimitExceeded):
            return Spotted(made, made, told(error))
    raise AssertionError("seeds do not end")


def ours(specimen: Specimen, twin: bool, seconds: float) -> Spotted:
    """The search as a user starts it."""
    began = time.process_time()
    options = SearchOptions(schedules=ENDLESS, **specimen.options(twin=twin))
    program = specimen.twin if twin else specimen.buggy
    searching = ScheduleSearch.of_program(
        program, specimen.scenario, options, watch=lambda _: time.process_time() - began > seconds
    )
    trial = searching.until_failure()
    if trial is None or trial.failure is None:
        return Spotted(searching.made, 0, "")
    kind, failed = trial.failure
    return Spotted(searching.made, searching.made, failed if kind == "check" else kind)


def main() -> None:
    """Print what was seen."""
    tool, name, which, seconds = sys.argv[1:]
    print(json.dumps(spot(tool, SPECIMENS[name], which == "twin", float(seconds))))


if __name__ == "__main__":
    main()
