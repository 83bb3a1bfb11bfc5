"""A woken worker clears the event before a late one, already on its way, waits on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio
import anyio.lowlevel

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask, submitted, weather, with_workers

_WORKERS: Final = 6
_ITEMS: Final = 12


class _Gate:
    def __init__(self) -> None:
        self.paused = False
        self.resume = anyio.Event()

    async def enter(self) -> None:
        if self.paused:
            await anyio.lowlevel.checkpoint()  # tells its log that it waits
            await self.resume.wait()
            self.resume = anyio.Event()

    async def pause(self, seconds: float) -> None:
        if not self.paused:
            self.paused = True
            await anyio.sleep(seconds)
            self.paused = False
            self.resume.set()


class _Mended(_Gate):
    async def enter(self) -> None:
        while self.paused:
            await self.resume.wait()

    async def pause(self, seconds: float) -> None:
        if not self.paused:
            self.resume = anyio.Event()
            await super().pause(seconds)


async def _work(tank: Tank, gate: _Gate, items: Iterator[str]) -> None:
    for item in items:
        while True:
            await gate.enter()
            try:
                tank.ledger.complete(item, await ask(tank, item))
                break
            except RateLimited as refusal:
                await gate.pause(refusal.retry_after or 1)


async def _buggy(tank: Tank) -> None:
    await with_workers(_WORKERS, _work, tank, _Gate(), iter(submitted(tank, _ITEMS)))


async def _twin(tank: Tank) -> None:
    await with_workers(_WORKERS, _work, tank, _Mended(), iter(submitted(tank, _ITEMS)))


SPECIMEN: Final = Specimen(
    name="lost_wakeup",
    row="8",
    kind="H",
    story="Whoever was woken by the shared event clears it. A worker that saw the pause but does not wait "
    "yet comes too late: it waits on an event that is cleared and that nobody sets again.",
    seen="ProjectScylla, before its race was mended",
    buggy=_buggy,
    twin=_twin,
    scenario=weather(
        "a-wave-among-answers",
        {
            "at": "0s",
            "lasts": "20ms",
            "retry_after": "60ms",
            "match": {"item": "item-[12]"},
            "scope": "account",
        },
        latency={"first_token": "40ms..100ms"},
    ),
    check="liveness",
    failure="deadlock",
    items=_ITEMS,
)
