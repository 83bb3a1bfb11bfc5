"""What part of a run all checks together take: the same orders, judged by all checks and by none.

Three programs: the reference processor at the direct seam (ten workers, twenty items, `cascade`), the
same with fifty workers and five hundred items, and a plain httpx2 client (sixteen workers, a
hundred items, three waves). All expectations are declared. Runs with and without take turns in one
process; the figures are CPU time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple

from wavetank import Scenario, Tank, load_scenario
from wavetank.checks import STRICT, judge
from wavetank.events import EventLog
from wavetank.sim.choices import Level
from wavetank.sim.dice import dice
from wavetank.sim.policies.plan import Plan
from wavetank.sim.policies.random import Uniform
from wavetank.sim.policies.random_choosers import ALWAYS, DeviationRates
from wavetank.tank.runs.run_options import BACKENDS, RunOptions
from wavetank.tank.runs.trial_runs import Trials

from .programs.batches import THREE_WAVES, direct, over_http

GOAL: Final = 0.15
ROUNDS: Final = 9
SECONDS: Final = 0.5
_TAIL: Final = 1_000_000


class Cost(NamedTuple):
    """Seconds of CPU of one run without checks, of one with all of them, and its events."""

    without: float
    with_all: float
    events: int

    @property
    def part(self) -> float:
        """The part of a judged run that the checks take."""
        return 1 - self.without / self.with_all


async def declared(main: Callable[[Tank], Awaitable[None]], tank: Tank) -> None:
    """Run the program with every expectation declared, so that every check judges."""
    tank.expect(in_flight=1_000, requests_per_item=1_000, paid_per_item=1_000, herd=1.0, starvation=1_000_000)
    tank.watch("items", lambda: 0)
    await main(tank)


PROGRAMS: Final[dict[str, tuple[Callable[[Tank], Awaitable[None]], str | Scenario]]] = {
    "direct, 10 workers, 20 items": (direct, "cascade"),
    "direct, 50 workers, 500 items": (partial(direct, workers=50, items=500), "cascade"),
    "httpx2, 16 workers, 100 items": (over_http, THREE_WAVES),
}


def measure(main: Callable[[Tank], Awaitable[None]], scenario: str | Scenario, backend: str) -> Cost:
    """The best of some rounds, which other work on the machine disturbs least; each has the same orders."""
    loaded = load_scenario(scenario)
    program = partial(declared, main)
    kinds = [Trials(program, loaded, RunOptions(backend=backend, checks=checks)) for checks in ((), STRICT)]
    events = len(_runs(kinds[1], [0])[1])
    began = time.process_time()
    _runs(kinds[0], [0, 1])
    number = max(1, round(SECONDS / max((time.process_time() - began) / 2, 1e-6)))
    took: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS):
        seeds = range(number)
        for kind in (0, 1) if turn % 2 else (1, 0):
            took[kind].append(_runs(kinds[kind], seeds)[0] / number)
    return Cost(min(took[0]), min(took[1]), events)


def _runs(trials: Trials, seeds: Any) -> tuple[float, EventLog]:
    """Make a run in the order of each seed; the CPU time, and the last event log."""
    began = time.process_time()
    with trials.borrowed():
        for seed in seeds:
            chooser = Uniform(dice("cost", seed), DeviationRates(stalls=ALWAYS), tail=_TAIL)
            trial = trials.run(Plan(chooser, Level("any", stalls=True), "random"))
            failed = trial.end.error or (trial.failure if trials.checks else None)
            if isinstance(failed, BaseException):
                raise failed
    return time.process_time() - began, trial.log


def each(main: Callable[[Tank], Awaitable[None]], scenario: str | Scenario) -> dict[str, float]:
    """CPU seconds of each check on the log of one run, the best of some."""
    trials = Trials(partial(declared, main), load_scenario(scenario), RunOptions(checks=()))
    log = _runs(trials, [0])[1]
    return {name: min(_timed(log, name) for _ in range(ROUNDS)) for name in STRICT}


def _timed(log: EventLog, checks: str) -> float:
    began = time.process_time()
    judge(log, checks)
    return time.process_time() - began


def main() -> None:
    """Print the table, and with `--each` what each check takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", action="store_true", help="tell the time of each check")
    options = parser.parse_args()
    print(f"{len(STRICT)} checks, all expectations declared; ms of CPU per run, best of {ROUNDS} rounds")
    print(f"{'':<32}{'backend':<9}{'events':>7}{'without':>9}{'with':>9}{'part':>7}  goal")
    for title, (program, scenario) in PROGRAMS.items():
        for backend in BACKENDS:
            cost = measure(program, scenario, backend)
            verdict = "met" if cost.part <= GOAL else f"missed: at most {GOAL:.0%}"
            print(
                f"{title:<32}{backend:<9}{cost.events:>7}{cost.without * 1000:>9.2f}"
                f"{cost.with_all * 1000:>9.2f}{cost.part:>7.1%}  {verdict}",
                flush=True,
            )
        if options.each:
            told = ", ".join(f"{name} {took * 1000:.2f}" for name, took in each(program, scenario).items())
            print(f"  {told}")


if __name__ == "__main__":
    main()
