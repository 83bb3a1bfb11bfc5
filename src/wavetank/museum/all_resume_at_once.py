"""A pause ends for everybody at the same instant."""

from __future__ import annotations

from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask, submitted, weather

_ITEMS: Final = 6
_SPREAD: Final = 0.02
_HERD: Final = 0.5


class _Pause:
    def __init__(self, spread: float) -> None:
        self.until = 0.0
        self.spread = spread

    async def over(self, worker: int) -> None:
        while (left := self.until - anyio.current_time()) > 0:
            await anyio.sleep(left + worker * self.spread)

    def refused(self, seconds: float) -> None:
        self.until = max(self.until, anyio.current_time() + seconds)


async def _work(tank: Tank, pause: _Pause, worker: int, item: str) -> None:
    while True:
        await pause.over(worker)
        try:
            tank.ledger.complete(item, await ask(tank, item))
            return
        except RateLimited as refusal:
            pause.refused(refusal.retry_after or 1)


async def _run(tank: Tank, spread: float) -> None:
    tank.expect(herd=_HERD)
    pause = _Pause(spread)
    async with anyio.create_task_group() as group:
        for worker, item in enumerate(submitted(tank, _ITEMS)):
            group.start_soon(_work, tank, pause, worker, item)


async def _buggy(tank: Tank) -> None:
    await _run(tank, 0)


async def _twin(tank: Tank) -> None:
    await _run(tank, _SPREAD)


SPECIMEN: Final = Specimen(
    name="all_resume_at_once",
    row="25",
    kind="S",
    story="All workers sleep until the same instant and ask again together, which is how one wave sets off "
    "the next. The twin lets one worker after another go.",
    seen="ProjectScylla",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("one-short-wave", {"at": "0s", "lasts": "500ms"}),
    check="no_herd",
    failure="check",
    items=_ITEMS,
)
