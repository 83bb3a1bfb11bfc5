"""Workers put refused items back into a bounded queue that only they empty."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_SHORT_WAVE, Queue, ask, ask_until_answered

_WORKERS: Final = 2
_ROOM: Final = 2


async def _queue_again(tank: Tank, queue: Queue[str], item: str) -> None:
    try:
        answer = await ask(tank, item)
    except RateLimited as refusal:
        await anyio.sleep(refusal.retry_after or 1)
        await queue.put_again(item)
    else:
        tank.ledger.complete(item, answer)
        queue.done()


async def _ask_again(tank: Tank, queue: Queue[str], item: str) -> None:
    tank.ledger.complete(item, await ask_until_answered(tank, item))
    queue.done()


async def _run(
    tank: Tank, items: list[str], handle: Callable[[Tank, Queue[str], str], Awaitable[None]]
) -> None:
    queue: Queue[str] = Queue(_ROOM)

    async def work() -> None:
        while True:
            await handle(tank, queue, await queue.get())

    async with anyio.create_task_group() as group:
        for _ in range(_WORKERS):
            group.start_soon(work)
        for item in items:
            await queue.put(item)
        await queue.join()
        group.cancel_scope.cancel()


SPECIMEN: Final = specimen(
    name="full_queue",
    row="3",
    kind="H",
    story="The queue is bounded and the producer keeps it full. When all workers are refused at once, each "
    "of them waits for room to put its item back, and only workers make room.",
    seen="batch-llm 0.2",
    run=_run,
    variants=(_queue_again, _ask_again),
    scenario=ONE_SHORT_WAVE,
    check="liveness",
    failure="deadlock",
    items=6,
)
