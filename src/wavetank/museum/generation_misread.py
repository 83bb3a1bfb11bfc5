"""A worker reads the number of the cooldown too late, when it begins to wait for the end."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.lowlevel

from .specimen import specimen
from .workload import LATE_REFUSALS, by_workers, work_at_gate


class _Cooldown:
    def __init__(self) -> None:
        self.under_way = False
        self.generation = 0
        self.changed = anyio.Event()

    async def enter(self) -> None:
        """Requests are sent during a cooldown, too."""

    async def refused(self, seconds: float) -> None:
        if self.under_way:
            await self.follow()
        else:
            self.under_way = True
            await anyio.sleep(seconds)
            self.under_way = False
            self.generation += 1
            self.changed.set()
            self.changed = anyio.Event()

    async def follow(self) -> None:
        await anyio.lowlevel.checkpoint()  # writes to its log that it waits
        await self.next(self.generation)

    async def next(self, generation: int) -> None:
        while self.generation == generation:
            await self.changed.wait()


class _FixedCooldown(_Cooldown):
    async def follow(self) -> None:
        generation = self.generation
        await anyio.lowlevel.checkpoint()
        await self.next(generation)


SPECIMEN: Final = specimen(
    name="generation_misread",
    row="8b",
    kind="H",
    story="Cooldowns are numbered, and a worker waits until the number changes. It reads the number after an "
    "await, when the cooldown may be over already, and then waits for a change that never comes.",
    seen="batch-llm: the generation counter that was meant to fix the early reset",
    run=by_workers(3, work_at_gate),
    variants=(_Cooldown, _FixedCooldown),
    scenario=LATE_REFUSALS,
    check="liveness",
    failure="deadlock",
    items=6,
)
