"""Workers put refused items back into the bounded queue that nobody but they can drain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import Queue, ask, ask_patiently, submitted, weather

_WORKERS: Final = 2
_ROOM: Final = 2
_ITEMS: Final = 6


async def _put_back(tank: Tank, queue: Queue[str], item: str) -> None:
    try:
        answer = await ask(tank, item)
    except RateLimited as refusal:
        await anyio.sleep(refusal.retry_after or 1)
        await queue.put_again(item)
    else:
        tank.ledger.complete(item, answer)
        queue.done()


async def _keep(tank: Tank, queue: Queue[str], item: str) -> None:
    tank.ledger.complete(item, await ask_patiently(tank, item))
    queue.done()


async def _run(tank: Tank, handle: Callable[[Tank, Queue[str], str], Awaitable[None]]) -> None:
    queue: Queue[str] = Queue(_ROOM)

    async def work() -> None:
        while True:
            await handle(tank, queue, await queue.get())

    async with anyio.create_task_group() as group:
        for _ in range(_WORKERS):
            group.start_soon(work)
        for item in submitted(tank, _ITEMS):
            await queue.put(item)
        await queue.join()
        group.cancel_scope.cancel()


async def _buggy(tank: Tank) -> None:
    await _run(tank, _put_back)


async def _twin(tank: Tank) -> None:
    await _run(tank, _keep)


SPECIMEN: Final = Specimen(
    name="full_queue",
    row="3",
    kind="H",
    story="The queue is bounded and the producer keeps it full. When all workers are refused at once, each "
    "of them waits for room to put its item back, and only workers make room.",
    seen="batch-llm 0.2",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("one-short-wave", {"at": "0s", "lasts": "500ms"}),
    check="liveness",
    failure="deadlock",
    items=_ITEMS,
)
