"""The event that ends a pause is set in the first one and never cleared, so no later pause holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask, submitted, weather, with_workers

_WORKERS: Final = 3
_ITEMS: Final = 18


class _Gate:
    def __init__(self) -> None:
        self.paused = False
        self.until = 0.0
        self.resume = anyio.Event()

    async def enter(self) -> None:
        while self.paused and not self.resume.is_set():
            await self.resume.wait()

    async def refused(self, seconds: float) -> None:
        self.until = max(self.until, anyio.current_time() + seconds)
        if not self.paused:
            self.paused = True
            await self.pause()
            self.paused = False

    async def pause(self) -> None:
        while (left := self.until - anyio.current_time()) > 0:
            await anyio.sleep(left)
        self.resume.set()


class _Mended(_Gate):
    async def pause(self) -> None:
        self.resume = anyio.Event()
        await super().pause()


async def _work(tank: Tank, gate: _Gate, items: Iterator[str]) -> None:
    for item in items:
        while True:
            await gate.enter()
            try:
                tank.ledger.complete(item, await ask(tank, item))
                break
            except RateLimited as refusal:
                await gate.refused(refusal.retry_after or 1)


async def _buggy(tank: Tank) -> None:
    await with_workers(_WORKERS, _work, tank, _Gate(), iter(submitted(tank, _ITEMS)))


async def _twin(tank: Tank) -> None:
    await with_workers(_WORKERS, _work, tank, _Mended(), iter(submitted(tank, _ITEMS)))


SPECIMEN: Final = Specimen(
    name="second_wave",
    row="7",
    kind="S",
    story="Workers wait for an event that says when the pause is over. It is set at the end of the first "
    "pause and never cleared, so in the second wave nobody waits.",
    seen="ProjectScylla",
    buggy=_buggy,
    twin=_twin,
    scenario=weather(
        "two-waves",
        {"at": "0s", "lasts": "1s"},
        {"at": "1500ms", "lasts": "1s"},
        latency={"first_token": "100ms..300ms"},
    ),
    check="shared_pause",
    failure="check",
    items=_ITEMS,
)
