"""How many schedules the default policy needs to find three races, and how small it makes them.

S1 needs time to pass inside the program, S2 needs the order of one tie, S3 is either of them in a
crowd of six workers and thirty items. Each is searched on both backends from twenty seeds.
`--unseen` searches programs on which the portfolio was not tuned instead, up to the failure.
`--deep` also runs the corrected programs through 10 000 schedules at every level.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import wavetank
from wavetank.sim.choices import LEVELS
from wavetank.tank.runs.run_options import SearchOptions
from wavetank.tank.search.search import ScheduleSearch

from .programs.races import SHAPES, Shape, program
from .programs.unseen_bugs import SLOW_OR_FAST, UNSEEN

SEEDS: Final = 20
MOST: Final = 1_000
DEEP: Final = 10_000
SOON: Final = 200
NOT_FOUND: Final = 2 * SOON
BACKENDS: Final = ("asyncio", "trio")

GOAL_MEDIAN: Final = {"S1": 10, "S2": 10, "S3": 100}
GOAL_DEVIATIONS: Final = {"S1": 1, "S2": 1, "S3": 4}
GOAL_SHRINKING: Final = 40


class Found(NamedTuple):
    """One search: schedules up to the failure, deviations left, runs to shrink and in all after it, level."""

    schedules: int
    deviations: int
    shrinking: int
    after: int
    level: str


def search(shape: Shape, backend: str, seed: int) -> Found | None:
    """Search one race from one seed; `None` if it stays hidden."""
    result = wavetank.search(program(shape), "calm", schedules=MOST, seed=seed, backend=backend)
    if result.failure is None:
        return None
    if result.failure.kind != "deadlock":
        raise SystemExit(f"{shape.name} is to hang:\n{result.failure.report()}")
    return Found(
        result.schedules,
        len(result.failure.deviations),
        result.shrinking,
        result.after,
        result.failure.level,
    )


def spread(numbers: Sequence[int]) -> str:
    """Median and worst."""
    return f"{statistics.median(numbers):.0f} / {max(numbers)}"


def row(shape: Shape, backend: str, found: Sequence[Found], seeds: int) -> str:
    """One line of the table."""
    schedules = [each.schedules for each in found] + [MOST] * (seeds - len(found))
    deviations = [each.deviations for each in found] or [0]
    shrinking = [each.shrinking for each in found] or [0]
    after = [each.after for each in found] or [0]
    levels = Counter(each.level for each in found)
    missed = [
        name
        for name, holds in (
            ("schedules", statistics.median(schedules) <= GOAL_MEDIAN[shape.name]),
            ("deviations", max(deviations) <= GOAL_DEVIATIONS[shape.name]),
            ("runs to shrink", statistics.median(shrinking) <= GOAL_SHRINKING),
        )
        if not holds
    ]
    told = ", ".join(f"{level} {count}" for level, count in sorted(levels.items()))
    return (
        f"{shape.name:<4}{backend:<9}{len(found):>3}/{seeds:<3}{spread(schedules):>11}"
        f"{spread(deviations):>9}{spread(shrinking):>11}{spread(after):>11}  {told:<18}"
        f"{'met' if not missed else 'missed: ' + ', '.join(missed)}"
    )


def find_all(seeds: int) -> None:
    """Print the table of the races."""
    print(f"{seeds} seeds, default policy, at most {MOST} schedules; median / worst")
    print(
        f"{'':<4}{'backend':<9}{'found':>7}{'schedules':>11}{'left':>9}{'shrinking':>11}{'all after':>11}"
        f"  {'levels':<18}goal"
    )
    for shape in SHAPES:
        for backend in BACKENDS:
            found = [search(shape, backend, seed) for seed in range(seeds)]
            print(row(shape, backend, [each for each in found if each is not None], seeds), flush=True)
    print(
        f"goals: schedules (median) {GOAL_MEDIAN}, deviations left (worst) {GOAL_DEVIATIONS}, "
        f"runs to shrink (median) at most {GOAL_SHRINKING}; the other runs after a failure repeat it and "
        "look for it at gentler levels"
    )


def find_unseen(seeds: int) -> None:
    """Print how many schedules the unseen bugs take; the backends take turns."""
    print(
        f"{seeds} seeds, default policy, at most {SOON} schedules; median / worst, {NOT_FOUND} if not found"
    )
    everything: list[int] = []
    for number, main in enumerate(UNSEEN):
        made = []
        for seed in range(seeds):
            options = SearchOptions(schedules=SOON, seed=seed, backend=BACKENDS[number % 2])
            searching = ScheduleSearch.of_program(main, SLOW_OR_FAST, options)
            made.append(searching.made if searching.until_failure() is not None else NOT_FOUND)
        print(f"{getattr(main, '__name__', ''):<30}{spread(made):>11}", flush=True)
        everything += made
    print(
        f"{'all':<30}{spread(everything):>11}, geometric mean {statistics.geometric_mean(everything):.1f}, "
        f"mean {statistics.mean(everything):.1f}, not found {everything.count(NOT_FOUND)}"
    )


def pass_all(schedules: int) -> None:
    """Run the corrected programs at every level; the first failure ends the benchmark."""
    print(f"\nthe corrected programs, {schedules} schedules at every level")
    for shape in SHAPES:
        for backend in BACKENDS:
            began = time.process_time()
            for level in LEVELS:
                correct = program(shape, racy=False)
                wavetank.search(
                    correct, "calm", schedules=schedules, level=str(level), backend=backend
                ).check()
            took = time.process_time() - began
            print(
                f"{shape.name:<4}{backend:<9}passed {len(LEVELS)} levels in {took:.0f} s of CPU", flush=True
            )


def main() -> None:
    """Print both tables; the second only on demand, since it takes long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--unseen", action="store_true", help="search the unseen bugs instead")
    parser.add_argument("--deep", action="store_true", help="run the corrected programs too")
    parser.add_argument("--schedules", type=int, default=DEEP, help="how many of each with --deep")
    options = parser.parse_args()
    if options.unseen:
        find_unseen(options.seeds)
        return
    find_all(options.seeds)
    if options.deep:
        pass_all(options.schedules)


if __name__ == "__main__":
    main()
