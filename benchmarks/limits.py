"""How close clients come to one that knows the limit, over worlds with one limit each, beside other tools.

The time is virtual, so the figures are the same on every machine. `times ideal` is the time against
the shortest in which the work can be done; `refused` counts requests that the provider refused. The
processor is told nothing, told by headers where there are any, and configured. The other tools run
where they are installed in `build/peers`. By default a sample; `--all` takes an hour.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks.programs.limit_worlds import Came, World, figure, processor, worlds

PEERS: Final = Path("build/peers/bin/python")
TOOLS: Final = ("aimd-limiter", "adaptio", "tenacity", "aiolimiter, told")
LONGEST_SECONDS: Final = 3600


def ours(chosen: Sequence[World]) -> Iterator[tuple[str, list[Came]]]:
    """The processor, in each way to learn of a limit."""
    yield "processor, told nothing", [figure(world, processor()) for world in chosen]
    yield "processor, configured", [figure(world, processor(configured=True)) for world in chosen]
    if any(world.dialect for world in chosen):
        yield "processor, told by headers", [figure(w, processor(tells=True)) for w in chosen if w.dialect]


def theirs(chosen: Sequence[World]) -> Iterator[tuple[str, list[Came] | str]]:
    """The other tools, or why one is left out."""
    direct = [world.name for world in chosen if world.dialect is None]
    for tool in TOOLS:
        command = [str(PEERS), "-m", "benchmarks.programs.limit_peers", tool, *direct]
        if not PEERS.exists():
            yield tool, f"{PEERS} is not there (make build/peers/installed)"
            continue
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS)
        if done.returncode:
            yield tool, (done.stderr.strip().splitlines() or ["it failed"])[-1]
        else:
            yield tool, [Came(*json.loads(line)) for line in done.stdout.splitlines()]


def met_by(name: str, chosen: Sequence[World]) -> list[World]:
    """The worlds that a client runs in: tools have no headers to read, and one client needs them."""
    if name in TOOLS:
        return [world for world in chosen if world.dialect is None]
    return [world for world in chosen if world.dialect or "headers" not in name]


def summary(came: Sequence[Came]) -> str:
    """Median, ninth tenth and worst, and what was refused and lost."""
    times = sorted(float("inf") if one.error or one.astray else one.times_ideal for one in came)
    ninth = times[min(len(times) - 1, len(times) * 9 // 10)]
    refused, astray = sum(one.refused for one in came), sum(one.astray for one in came)
    figures = f"median {statistics.median(times):.2f} p90 {ninth:.2f} worst {times[-1]:.2f}"
    return f"{figures}, {refused} refused, {astray} lost or paid twice, in {len(came)} worlds"


def main() -> None:
    """Print a line for each world and client, and a summary of each client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="all worlds")
    chosen = worlds(everything=parser.parse_args().all)
    lines = []
    for name, came in itertools.chain(ours(chosen), theirs(chosen)):
        if isinstance(came, str):
            lines.append(f"{name}: left out, {came}")
            continue
        for world, one in zip(met_by(name, chosen), came, strict=True):
            print(
                f"{name} | {world.name} | {one.times_ideal:.3f} x | {one.refused} refused {one.error or ''}",
                flush=True,
            )
        lines.append(f"{name}: {summary(came)}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
