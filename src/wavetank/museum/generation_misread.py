"""A follower looks up the number of the cooldown only when it begins to wait for its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio
import anyio.lowlevel

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask, submitted, weather, with_workers

_WORKERS: Final = 3
_ITEMS: Final = 6


class _Cooldown:
    def __init__(self) -> None:
        self.under_way = False
        self.generation = 0
        self.changed = anyio.Event()

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
        await anyio.lowlevel.checkpoint()  # tells its log that it waits
        await self.next(self.generation)

    async def next(self, generation: int) -> None:
        while self.generation == generation:
            await self.changed.wait()


class _Mended(_Cooldown):
    async def follow(self) -> None:
        generation = self.generation
        await anyio.lowlevel.checkpoint()
        await self.next(generation)


async def _work(tank: Tank, cooldown: _Cooldown, items: Iterator[str]) -> None:
    for item in items:
        while True:
            try:
                tank.ledger.complete(item, await ask(tank, item))
                break
            except RateLimited as refusal:
                await cooldown.refused(refusal.retry_after or 1)


async def _buggy(tank: Tank) -> None:
    await with_workers(_WORKERS, _work, tank, _Cooldown(), iter(submitted(tank, _ITEMS)))


async def _twin(tank: Tank) -> None:
    await with_workers(_WORKERS, _work, tank, _Mended(), iter(submitted(tank, _ITEMS)))


SPECIMEN: Final = Specimen(
    name="generation_misread",
    row="8b",
    kind="H",
    story="Cooldowns are numbered, and a follower waits until the number changes. It reads the number after "
    "an await, when the cooldown it saw may be over, and then waits for a change that never comes.",
    seen="batch-llm: the generation counter that was to mend the early reset",
    buggy=_buggy,
    twin=_twin,
    scenario=weather(
        "late-refusals",
        {"at": "0s", "lasts": "20ms", "retry_after": "50ms"},
        latency={"first_token": "50ms..200ms", "refusal": "10ms..90ms"},
    ),
    check="liveness",
    failure="deadlock",
    items=_ITEMS,
)
