"""The leader of a cooldown says it is over before it has woken those who wait for its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio
import anyio.lowlevel

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask, submitted, weather, with_workers

_WORKERS: Final = 4
_ITEMS: Final = 8


class _Cooldown:
    def __init__(self) -> None:
        self.under_way = False
        self.over = anyio.Event()

    async def refused(self, seconds: float) -> None:
        if self.under_way:
            await self.over.wait()
            return
        self.under_way = True
        self.over = anyio.Event()
        await anyio.sleep(seconds)
        await self.end()

    async def end(self) -> None:
        self.under_way = False
        await anyio.lowlevel.checkpoint()  # tells its log that the cooldown is over
        self.over.set()


class _Mended(_Cooldown):
    async def end(self) -> None:
        self.over.set()
        self.under_way = False


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
    name="early_reset",
    row="8b",
    kind="H",
    story="The leader of a cooldown resets the flag, then sets the event. A worker whose refusal comes in "
    "between leads another cooldown with an event of its own; the first leader sets that one, and those who "
    "wait on the old one are never woken.",
    seen="the analysis of a hang of batch-llm with four workers",
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
