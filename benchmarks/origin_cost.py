"""What part of a run it takes to know who does what where, and who waits through quiet stretches.

The same runs with it and with it switched off, in turns in one process: once as `simulate` makes them
(everything is noted for a report), once as `search` does. Two programs under `cascade`: ten workers
and forty items at the direct seam, five workers and twenty items with the openai SDK. The figures are
CPU time; the part is the median over pairs of neighbouring rounds, which other work on the machine
disturbs least.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple
from unittest.mock import patch

from wavetank import Tank, load_scenario
from wavetank.sim import witness
from wavetank.sim.choices import Level
from wavetank.sim.dice import dice
from wavetank.sim.origin import NOWHERE
from wavetank.sim.policies.plan import Plan
from wavetank.sim.policies.random import Uniform
from wavetank.sim.policies.random_choosers import ALWAYS, DeviationRates
from wavetank.sim.witness import Witness
from wavetank.tank.runs.run_options import BACKENDS, RunOptions
from wavetank.tank.runs.trial_runs import Trials

from .programs.batches import by_hand, with_openai

GOAL: Final = 0.05
ROUNDS: Final = 40
SECONDS: Final = 0.1
_TAIL: Final = 1_000_000

PROGRAMS: Final[dict[str, Callable[[Tank], Awaitable[None]]]] = {
    "direct, 10 workers, 40 items": by_hand,
    "openai, 5 workers, 20 items": with_openai,
}
MODES: Final = ("simulate", "search")


class Cost(NamedTuple):
    """Seconds of CPU of one run, and the part of it that who and where take."""

    run: float
    part: float


@contextmanager
def switched_off() -> Iterator[None]:
    """Let runs note nothing of who and where until the block ends."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(Witness, "origin", lambda _: NOWHERE))
        stack.enter_context(patch.object(Witness, "acquired", lambda *_: None))
        stack.enter_context(patch.object(witness, "Quiet", lambda _: None))
        yield


def measure(main: Callable[[Tank], Awaitable[None]], mode: str, backend: str, rounds: int) -> Cost:
    """Runs of a program with it and without in turns, in the same orders."""
    trials = Trials(main, load_scenario("cascade"), RunOptions(backend=backend, checks=()))
    _seconds(trials, mode, 1)
    number = max(1, round(SECONDS / _seconds(trials, mode, 1)))
    pairs: list[tuple[float, float]] = []
    for turn in range(rounds):
        # Every other pair runs backwards: neither always comes after the other.
        if turn % 2:
            noted = _seconds(trials, mode, number)
        with switched_off():
            plain = _seconds(trials, mode, number)
        if not turn % 2:
            noted = _seconds(trials, mode, number)
        pairs.append((noted, plain))
    return Cost(
        min(noted for noted, _ in pairs) / number,
        statistics.median(1 - plain / noted for noted, plain in pairs),
    )


def _seconds(trials: Trials, mode: str, number: int) -> float:
    """CPU seconds of so many runs."""
    with trials.borrowed():
        began = time.process_time()
        for seed in range(number):
            if mode == "simulate":
                trial = trials.run(attentive=True)
            else:
                chooser = Uniform(dice("cost", seed), DeviationRates(stalls=ALWAYS), tail=_TAIL)
                trial = trials.run(Plan(chooser, Level("any", stalls=True), "random"))
            if isinstance(trial.end.error, BaseException):
                raise trial.end.error
        return time.process_time() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    print(f"ms of CPU per run, and the part that who and where take; {options.rounds} pairs of rounds")
    print(f"{'':<32}{'mode':<10}{'backend':<9}{'run':>8}{'part':>7}  goal")
    for title, program in PROGRAMS.items():
        for mode in MODES:
            for backend in BACKENDS:
                cost = measure(program, mode, backend, options.rounds)
                verdict = "met" if cost.part <= GOAL else f"missed: at most {GOAL:.0%}"
                print(
                    f"{title:<32}{mode:<10}{backend:<9}{cost.run * 1000:>8.2f}{cost.part:>7.1%}  {verdict}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
