"""Complete runs per second of wavetank's explorer, beside the other tools, in one go.

Two programs: the pipeline (five tasks, twenty items; stream, lock and event), which every tool
runs; the reference processor at the direct seam (ten workers, twenty items, `cascade`). Each
contestant is a process of its own; they take turns, round after round, so that a slow spell of the
machine hits all of them.

The figures are runs per second of CPU time, which other work on the machine disturbs less than
wall time; the last column has the median by the wall clock. The other tools are installed
by `make bench` into an environment of their own; one that is missing or fails gets a line that says so.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, final

ROUNDS: Final = 5
SECONDS: Final = 1.0
PEERS: Final = Path("build/peers/bin/python")
PATIENCE: Final = 300
REFERENCE: Final = "detangle"
"""The fastest of the other tools that explore orders."""


@final
class Contestant(NamedTuple):
    """One line of the table: its name, runs at a time, and the goal it is held against, if any."""

    name: str
    at_a_time: int
    goal: float | None = None
    times_the_reference: float | None = None
    peer: bool = False


PIPELINE: Final = (
    Contestant("asyncio portfolio", 200, 1350, 1.1),
    Contestant("asyncio random", 200),
    Contestant("asyncio fifo", 200),
    Contestant("asyncio engine", 100),
    Contestant("asyncio engine, stalls", 100),
    Contestant("trio portfolio", 200, 725),
    Contestant("trio random", 200),
    Contestant("trio fifo", 200),
    Contestant("trio engine", 100),
    Contestant("trio engine, stalls", 100),
    Contestant("detangle", 100, peer=True),
    Contestant("detangle, late", 100, peer=True),
    Contestant("simloop", 20, peer=True),
    Contestant("simloom", 20, peer=True),
    Contestant("frontrun", 5, peer=True),
    Contestant("async-solipsism", 100, peer=True),
    Contestant("looptime", 50, peer=True),
    Contestant("trio MockClock", 50, peer=True),
)
DIRECT: Final = (Contestant("direct asyncio", 200, 1000), Contestant("direct trio", 200, 1000))


@final
class Rates:
    """What a contestant came to over the rounds, or why it could not run."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.wall: list[float] = []
        self.trouble: str | None = None


def take_turn(contestant: Contestant, seconds: float, rates: Rates) -> None:
    """One round of one contestant, in a new process."""
    python = str(PEERS) if contestant.peer else sys.executable
    if rates.trouble is not None:
        return
    if contestant.peer and not PEERS.exists():
        rates.trouble = "not installed: run `make bench`"
        return
    command = [python, "-m", "benchmarks.programs.contest", contestant.name]
    command += [str(contestant.at_a_time), str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        rates.trouble = f"made no {contestant.at_a_time} runs in {PATIENCE} s"
        return
    note(done.stdout, done.stderr, rates)


def note(told: str, complaint: str, rates: Rates) -> None:
    """Take in what a contestant printed."""
    try:
        came_to = json.loads(told.strip().splitlines()[-1])
    except (IndexError, ValueError):
        rates.trouble = (complaint.strip().splitlines() or ["it printed nothing"])[-1]
        return
    if "error" in came_to:
        rates.trouble = came_to["error"]
    else:
        rates.cpu.append(came_to["runs"] / came_to["cpu"])
        rates.wall.append(came_to["runs"] / came_to["wall"])


def row(contestant: Contestant, rates: Rates, reference: float | None) -> str:
    """One line of the table."""
    if rates.trouble is not None:
        return f"{contestant.name:<24}{rates.trouble}"
    low, middle, high = min(rates.cpu), statistics.median(rates.cpu), max(rates.cpu)
    ratio = f"{middle / reference:>7.2f}" if reference else f"{'':>7}"
    return (
        f"{contestant.name:<24}{low:>8.1f}{middle:>8.1f}{high:>8.1f}{ratio}"
        f"{statistics.median(rates.wall):>9.1f}  {verdict(contestant, middle, reference)}"
    )


def verdict(contestant: Contestant, middle: float, reference: float | None) -> str:
    """The goals of a contestant and whether its median meets them."""
    told = []
    if contestant.goal is not None:
        told.append(f"at least {contestant.goal:g}: {'met' if middle >= contestant.goal else 'missed'}")
    times = contestant.times_the_reference
    if times is not None and reference is not None:
        told.append(f"{times:g} x {REFERENCE}: {'met' if middle >= times * reference else 'missed'}")
    return ", ".join(told)


def compare(title: str, contestants: Sequence[Contestant], rounds: int, seconds: float) -> None:
    """Run all rounds and print the table."""
    rates = {each.name: Rates() for each in contestants}
    for number in range(rounds):
        # Every other round runs backwards: nobody always comes after the same neighbour.
        for each in contestants if number % 2 == 0 else reversed(contestants):
            take_turn(each, seconds, rates[each.name])
    reference = (
        statistics.median(rates[REFERENCE].cpu) if REFERENCE in rates and rates[REFERENCE].cpu else None
    )
    print(f"\n{title}\n{'':<24}{'min':>8}{'median':>8}{'max':>8}{'ratio':>7}{'by wall':>9}  goal")
    for each in contestants:
        print(row(each, rates[each.name], reference), flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="CPU time of each turn")
    options = parser.parse_args()
    print(
        f"complete runs per second of CPU time, {options.rounds} rounds of {options.seconds:g} s; "
        f"ratio: to {REFERENCE}"
    )
    compare("pipeline", PIPELINE, options.rounds, options.seconds)
    compare("reference processor, direct seam", DIRECT, options.rounds, options.seconds)


if __name__ == "__main__":
    main()
