"""Kills one of three processes that share a gate, at chosen steps, and says how long the others waited.

    python tests/processor/shared/kills.py FOLDER PLACE POINTS

A step is the beginning or the end of a call of the store, or of a request. Each process is a fork of
this one; the first kills itself by SIGKILL at its n-th step, and POINTS such runs are made, with n
spread evenly over its steps. A gate is shared at PLACE, such as redis://127.0.0.1:6379 or file:PATH.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio

from wavetank.processor import Limits, LLMWorkItem, ParallelBatchProcessor
from wavetank.processor.shared.file_store import FileStore
from wavetank.processor.shared.link import LEASE_SECONDS
from wavetank.processor.shared.redis_store import RedisStore

PROCESSES = 3
ITEMS = 15
LIMITS = Limits(requests_per_minute=6000)


@dataclass
class Outcome:
    """One run: how many steps the first process took, and what the others sent when."""

    steps: int
    answered: list[int]
    longest_gap: float


class TooMany(Exception):
    """What a provider answers."""

    status_code = 429

    def __init__(self) -> None:
        super().__init__("rate limit reached")
        self.retry_after = 0.05


def process(folder: Path, place: str, number: int, kill_at: int) -> None:
    """One process: it sends its items, and writes down when."""
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1
        if taken == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    _count_calls(step)
    sent = list[float]()

    async def send(prompt: str) -> str:
        step()
        sent.append(time.monotonic())
        await anyio.sleep(0.005)
        step()
        if number == 0 and len(sent) == 4:
            # A pause: then the first process may be killed as the probe. More refusals would lower the rate.
            raise TooMany
        return prompt

    async def main() -> int:
        async with ParallelBatchProcessor(send, workers=4, shared=place, limits=LIMITS) as processor:
            for item in range(ITEMS):
                await processor.add_work(LLMWorkItem(id=str(item), prompt="x"))
            return (await processor.process_all()).succeeded

    answered = anyio.run(main)
    (folder / f"{number}.json").write_text(json.dumps([answered, taken, sent]), "utf-8")


def _count_calls(step: Callable[[], None]) -> None:
    for store in (FileStore, RedisStore):
        call: Any = store.call

        async def counted(self: Any, arguments: Any, call: Any = call) -> Any:
            step()
            reply = await call(self, arguments)
            step()
            return reply

        store.call = counted  # type: ignore[method-assign]


def started(folder: Path, place: str, kill_at: int) -> list[int]:
    """Start all processes, of which the first kills itself at this step; 0: none."""
    folder.mkdir(parents=True)
    children = []
    for number in range(PROCESSES):
        if not (pid := os.fork()):
            status = 1
            try:
                process(folder, place, number, kill_at if number == 0 else 0)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children.append(pid)
    return children


def outcome_of(folder: Path, children: list[int]) -> Outcome:
    """Wait for the processes, and read what they wrote down."""
    for pid in children:
        os.waitpid(pid, 0)
    results = [json.loads(file.read_text("utf-8")) for file in sorted(folder.glob("*.json"))]
    first = results[0][1] if len(results) == PROCESSES else 0
    times = sorted(at for result in results[-(PROCESSES - 1) :] for at in result[2])
    gap = max(later - earlier for earlier, later in pairwise(times))
    return Outcome(first, [result[0] for result in results[-(PROCESSES - 1) :]], gap)


def run(folder: Path, place: str, kill_at: int) -> Outcome:
    """Run all processes, and kill the first at this step; 0: none."""
    return outcome_of(folder, started(folder, place, kill_at))


def place_of(place: str, number: int) -> str:
    """A gate of its own for each run."""
    return f"{place}{number}" if place.startswith("file:") else f"{place}?name=kill{os.getpid()}-{number}"


if __name__ == "__main__":
    _, folder, place, points = sys.argv
    whole = run(Path(folder) / "whole", place_of(place, 0), 0)
    print(f"not killed: {whole}")
    worst = 0.0
    for point in range(1, int(points) + 1):
        kill_at = max(1, whole.steps * point // int(points))
        outcome = run(Path(folder) / str(point), place_of(place, point), kill_at)
        assert outcome.answered == [ITEMS] * (PROCESSES - 1), (kill_at, outcome)
        worst = max(worst, outcome.longest_gap)
        assert outcome.longest_gap <= LEASE_SECONDS, (kill_at, outcome)
    print(f"{points} points of {whole.steps} steps: the longest gap is {worst:.3f} s")
