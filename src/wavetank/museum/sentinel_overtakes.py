"""The pool tells its workers to stop before the refused items are back in the queue."""

from __future__ import annotations

from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_SHORT_WAVE, Queue, ask

_WORKERS: Final = 2


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

    async def send_sentinels(self) -> None:
        for _ in range(_WORKERS):
            await self.queue.put(None)

    async def run(self, items: list[str]) -> None:
        async with anyio.create_task_group() as group:
            for item in items:
                await self.queue.put(item)
            for _ in range(_WORKERS):
                group.start_soon(self.worker)
            await self.drain()

    async def drain(self) -> None:
        await self.send_sentinels()
        await self.queue.join()


class _FixedPool(_Pool):
    async def drain(self) -> None:
        await self.queue.join()
        await self.send_sentinels()


SPECIMEN: Final = specimen(
    name="sentinel_overtakes",
    row="1",
    kind="H",
    story="The sentinels that stop the workers are queued before the queue is drained. A refused item is "
    "queued again behind them, every worker stops, and the wait for the rest never ends.",
    seen="batch-llm, first commits",
    run=lambda tank, items, pool: pool(tank).run(items),
    variants=(_Pool, _FixedPool),
    scenario=ONE_SHORT_WAVE,
    check="liveness",
    failure="deadlock",
    items=4,
)
