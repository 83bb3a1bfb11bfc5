"""The pool sends its workers home before the refused items have come back to the queue."""

from __future__ import annotations

from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import Queue, ask, submitted, weather

_WORKERS: Final = 2
_ITEMS: Final = 4


class _Pool:
    def __init__(self, tank: Tank) -> None:
        self.tank = tank
        self.queue: Queue[str | None] = Queue()

    async def worker(self) -> None:
        while (item := await self.queue.get()) is not None:
            try:
                answer = await ask(self.tank, item)
            except RateLimited as refusal:
                await anyio.sleep(refusal.retry_after or 1)
                await self.queue.put_again(item)
            else:
                self.tank.ledger.complete(item, answer)
                self.queue.done()
        self.queue.done()

    async def send_home(self) -> None:
        for _ in range(_WORKERS):
            await self.queue.put(None)

    async def run(self) -> None:
        async with anyio.create_task_group() as group:
            for item in submitted(self.tank, _ITEMS):
                await self.queue.put(item)
            for _ in range(_WORKERS):
                group.start_soon(self.worker)
            await self.drain()

    async def drain(self) -> None:
        await self.send_home()
        await self.queue.join()


class _Mended(_Pool):
    async def drain(self) -> None:
        await self.queue.join()
        await self.send_home()


async def _buggy(tank: Tank) -> None:
    await _Pool(tank).run()


async def _twin(tank: Tank) -> None:
    await _Mended(tank).run()


SPECIMEN: Final = Specimen(
    name="sentinel_overtakes",
    row="1",
    kind="H",
    story="The sentinels that send the workers home are queued before the queue is drained. A refused item "
    "is queued again behind them, every worker leaves, and the wait for the rest never ends.",
    seen="batch-llm, first commits",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("one-short-wave", {"at": "0s", "lasts": "500ms"}),
    check="liveness",
    failure="deadlock",
    items=_ITEMS,
)
