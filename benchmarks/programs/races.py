"""Races with one lost wake-up, and the same programs without it.

Workers share one pause after a refusal: the first to be refused sleeps it out, the others wait
for an event. The racy one ends the pause in two steps with an `await` between them. A worker that
is refused just then begins a new pause with a new event, and the second step sets that one: those
who wait for the old event wait for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, final

import anyio
import anyio.lowlevel

from wavetank import Tank

Program = Callable[[Tank], Awaitable[None]]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """One race: latencies of the requests in order, in seconds, and the stretch in which all are refused."""

    name: str
    story: str
    latencies: Sequence[float]
    refused: tuple[float, float]
    pause: float
    workers: int
    items: int


@final
class Crew:
    """The workers of one run and what they share; `racy` ends a pause in two steps."""

    def __init__(self, shape: Shape, *, racy: bool) -> None:
        self._shape = shape
        self._racy = racy
        self._open = list(range(shape.items))
        self._sent = 0
        self._paused = False
        self._over = anyio.Event()
        self.done: list[int] = []

    async def work(self) -> None:
        """Take items and ask for each until it is served."""
        while self._open:
            item = self._open.pop(0)
            while not await self._served():
                await self._pause()
            self.done.append(item)

    async def _served(self) -> bool:
        latency = self._shape.latencies[self._sent % len(self._shape.latencies)]
        self._sent += 1
        await anyio.sleep(latency)
        begin, end = self._shape.refused
        return not begin <= anyio.current_time() - self._began < end

    async def _pause(self) -> None:
        if self._paused:
            await self._over.wait()
            return
        self._paused, self._over = True, anyio.Event()
        over = self._over
        await anyio.sleep(self._shape.pause)
        self._paused = False
        if self._racy:
            await anyio.lowlevel.checkpoint()
            over = self._over
        over.set()

    async def run(self) -> None:
        """All workers to their end."""
        self._began = anyio.current_time()
        async with anyio.create_task_group() as group:
            for number in range(self._shape.workers):
                group.start_soon(self.work, name=f"worker-{number}")


def program(shape: Shape, *, racy: bool = True) -> Program:
    """The program of a shape, as `wavetank.search` runs it."""

    async def main(tank: Tank) -> None:
        for item in range(shape.items):
            tank.ledger.submit(f"item-{item}")
        crew = Crew(shape, racy=racy)
        await crew.run()
        for item in crew.done:
            tank.ledger.complete(f"item-{item}")

    return main


def _on_a_grid(seed: int, count: int) -> tuple[float, ...]:
    """Latencies of 50 to 590 ms in steps of 10 ms."""
    dice = Random(seed)
    return tuple(dice.randrange(5, 60) / 100 for _ in range(count))


SHAPES: Final = (
    Shape(
        name="S1",
        story="needs time to pass inside the program: no two timers meet",
        latencies=(0.1, 0.12, 0.15, 1.103, 0.2, 0.2, 0.2),
        refused=(0.0, 1.2),
        pause=1.0,
        workers=4,
        items=5,
    ),
    Shape(
        name="S2",
        story="needs the order of one tie: a reply comes as the pause ends",
        latencies=(0.1, 0.12, 0.15, 1.1, 0.2, 0.2, 0.2),
        refused=(0.0, 1.2),
        pause=1.0,
        workers=4,
        items=5,
    ),
    Shape(
        name="S3",
        story="the same in a crowd",
        latencies=_on_a_grid(7, 60),
        refused=(0.2, 1.3),
        pause=0.5,
        workers=6,
        items=30,
    ),
)
