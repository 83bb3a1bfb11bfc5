"""Workers wait for each other at a barrier after each round, and one of them has ended."""

from __future__ import annotations

from typing import Final

import anyio

from ..seams.errors import ServerError
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask_until_answered, scenario_of

_WORKERS: Final = 3


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


async def _run(tank: Tank, items: list[str], leaves: bool) -> None:
    barrier = _Barrier(_WORKERS)

    async def work(mine: list[str]) -> None:
        for number, item in enumerate(mine, start=1):
            try:
                tank.ledger.complete(item, await ask_until_answered(tank, item))
            except ServerError as error:
                for lost in mine[number - 1 :]:
                    tank.ledger.fail(lost, error)
                if leaves:
                    barrier.leave()
                return
            await barrier.wait()

    async with anyio.create_task_group() as group:
        for worker in range(_WORKERS):
            group.start_soon(work, items[worker::_WORKERS])


SPECIMEN: Final = specimen(
    name="barrier_never_fills",
    row="B",
    kind="H",
    story="Three workers wait for each other at a barrier after each item. One of them ends after a server "
    "error, and the other two wait for it for ever.",
    seen="the first worst-case test of batch-llm, with asyncio.Barrier",
    run=_run,
    variants=(False, True),
    scenario=scenario_of("one-item-fails", {"lasts": "1m", "status": 500, "match": {"item": "item-5"}}),
    check="liveness",
    failure="deadlock",
    items=9,
)
