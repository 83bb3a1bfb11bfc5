"""How close the reference processor comes to the ideal before a limit, and what it costs per item.

The figures are in virtual time, so they are the same on every machine and in every run. Sixty
requests a second with a burst of ten; going over opens a wave of one second that states a
Retry-After of one second; an answer takes 50 ms, a refusal 0, 10 or 500 ms. What an item costs
is in CPU time and memory. Where async-batch-llm is installed in `build/peers`, it runs in the
same virtual world, at the direct seam.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import anyio
import trio
from benchmarks.programs.limited import KNOWN, Figure, figure, rows, sleeping
from trio.testing import MockClock

from wavetank.processor import BatchResult, ParallelBatchProcessor

REFUSALS: Final = (0, 10, 500)
WORKERS: Final = (5, 10, 50, 200)
UNKNOWN_GOAL: Final = 1.2
KNOWN_GOAL: Final = 1.02
MICROSECONDS_GOAL: Final = 60.0
MEGABYTES_GOAL: Final = 16.0
PEERS: Final = Path("build/peers/bin/python")
ITEMS: Final = 200_000

_missed: list[str] = []


def verdict(reached: bool, what: str) -> str:
    """`ok`, or a note that is repeated at the end."""
    if not reached:
        _missed.append(what)
    return "ok" if reached else "MISSED"


def goals(one: Figure, goal: float) -> bool:
    """Whether a batch is within the goal: time, refusals, nothing lost or doubled, no check failed."""
    few = one.refused <= 2 * one.waves + 1
    return one.times_ideal <= goal and few and one.astray == 0 and not one.blamed


def limits(backends: tuple[str, ...]) -> Iterator[str]:
    """The table of limits: unknown and configured."""
    head = (
        "items",
        "workers",
        "refusal",
        "backend",
        "limit",
        "x ideal",
        "refused",
        "waves",
        "astray",
        "goal",
    )
    yield " | ".join(head)
    for items in (200, 2_000):
        for workers in WORKERS:
            for refusal in REFUSALS:
                for backend in backends:
                    for name, options, goal in (
                        ("unknown", {}, UNKNOWN_GOAL),
                        ("configured", {"limits": KNOWN}, KNOWN_GOAL),
                    ):
                        one = figure(items, workers, refusal, backend, **options)
                        row = (items, workers, f"{refusal} ms", backend, name, f"{one.times_ideal:.3f}")
                        told = (*row, one.refused, one.waves, one.astray)
                        yield " | ".join(map(str, (*told, verdict(goals(one, goal), f"{row}: {one}"))))


def virtually(seconds: float, items: int, workers: int) -> float:
    """How long so many items of that length take, in virtual time."""

    async def main() -> BatchResult[Any]:
        async with ParallelBatchProcessor(sleeping(seconds), workers=workers) as processor:
            for item in rows(items):
                await processor.add_work(item)
            return await processor.process_all()

    return float(trio.run(main, clock=MockClock(autojump_threshold=0)).seconds)


def known_systems() -> Iterator[str]:
    """The benchmarks of the systems that the processor grew out of."""
    for name, seconds, items, workers, most in (
        ("ten experiments of 30 s on 5 workers", 30.0, 10, 5, 61.0),
        ("five requests of 0.5 s at once", 0.5, 5, 5, 0.625),
    ):
        one, many = virtually(seconds, items, 1), virtually(seconds, items, workers)
        told = f"{name}: {one:g} s one by one, {many:g} s together, {one / many:.1f} times as fast"
        yield f"{told}: {verdict(many <= most, told)}"


def overhead(backend: str, items: int) -> Iterator[str]:
    """CPU time and memory of streamed items, beyond the same calls awaited in a loop."""
    bare = _cpu_seconds(backend, _bare, items)
    warm = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    spent = _cpu_seconds(backend, _streamed, items)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - warm) / 1024
    each = (spent - bare) / items * 1e6
    told = f"{backend}: {items} streamed items, {each:.1f} us of CPU each, memory grew by {grown:.1f} MiB"
    yield f"{told}: {verdict(each <= MICROSECONDS_GOAL and grown <= MEGABYTES_GOAL, told)}"


async def _echo(prompt: str) -> str:
    return prompt


async def _bare(items: int) -> None:
    for item in rows(items):
        await _echo(item.prompt)


async def _streamed(items: int) -> None:
    count = 0
    async with ParallelBatchProcessor(_echo, workers=10) as processor:
        async for _ in processor.process(rows(items)):
            count += 1
    if count != items:
        raise SystemExit(f"{items - count} items are missing")


def _cpu_seconds(backend: str, work: Any, items: int) -> float:
    began = time.process_time()
    anyio.run(work, items, backend=backend)
    return time.process_time() - began


def peer() -> Iterator[str]:
    """async-batch-llm in the same world, if it is there."""
    if not PEERS.exists():
        yield "async-batch-llm: left out, build/peers is not there (make build/peers/installed)"
        return
    command = [str(PEERS), "-m", "benchmarks.programs.batch_peer"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        yield f"async-batch-llm: left out, {(done.stderr.strip().splitlines() or ['it failed'])[-1]}"
        return
    for one in json.loads(done.stdout):
        yield (
            f"{one['name']}: {one['items']} items, refusals of {one['refusal_ms']} ms: "
            f"{one['times_ideal']:.2f} x ideal, {one['refused']} refused"
        )


def main() -> None:
    """Print the tables; exit with 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS, help="how many items to stream")
    parser.add_argument("--backends", default="asyncio,trio")
    options = parser.parse_args()
    backends = tuple(options.backends.split(","))
    # Before the simulator is used: it leaves nothing behind, but it takes memory.
    for backend in backends:
        for line in overhead(backend, options.items):
            print(line, flush=True)
    for lines in (known_systems(), peer(), limits(backends)):
        for line in lines:
            print(line, flush=True)
    if _missed:
        raise SystemExit("missed: " + "; ".join(_missed))


if __name__ == "__main__":
    main()
