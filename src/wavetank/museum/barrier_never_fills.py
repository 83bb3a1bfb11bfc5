"""All workers meet at a barrier after each round, and one of them has left."""

from __future__ import annotations

from typing import Final

import anyio

from ..seams.errors import ServerError
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask_patiently, submitted, weather

_WORKERS: Final = 3
_ITEMS: Final = 9


class _Barrier:
    def __init__(self, parties: int) -> None:
        self.parties = parties
        self.waiting = 0
        self.full = anyio.Event()

    async def wait(self) -> None:
        self.waiting += 1
        full = self.full
        self.open_if_full()
        await full.wait()

    def leave(self) -> None:
        self.parties -= 1
        self.open_if_full()

    def open_if_full(self) -> None:
        if self.waiting >= self.parties:
            self.waiting = 0
            self.full.set()
            self.full = anyio.Event()


async def _run(tank: Tank, *, signs_off: bool) -> None:
    barrier = _Barrier(_WORKERS)
    items = submitted(tank, _ITEMS)

    async def work(mine: list[str]) -> None:
        for number, item in enumerate(mine, start=1):
            try:
                tank.ledger.complete(item, await ask_patiently(tank, item))
            except ServerError as error:
                for lost in mine[number - 1 :]:
                    tank.ledger.fail(lost, error)
                if signs_off:
                    barrier.leave()
                return
            await barrier.wait()

    async with anyio.create_task_group() as group:
        for worker in range(_WORKERS):
            group.start_soon(work, items[worker::_WORKERS])


async def _buggy(tank: Tank) -> None:
    await _run(tank, signs_off=False)


async def _twin(tank: Tank) -> None:
    await _run(tank, signs_off=True)


SPECIMEN: Final = Specimen(
    name="barrier_never_fills",
    row="B",
    kind="H",
    story="Three workers meet at a barrier after each item. One gives up after a server error and leaves; "
    "the other two wait at the barrier for it, for ever.",
    seen="the first worst-case test of batch-llm, with asyncio.Barrier",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("one-item-fails", {"lasts": "1m", "status": 500, "match": {"item": "item-5"}}),
    check="liveness",
    failure="deadlock",
    items=_ITEMS,
)
