"""A refused item is queued again as a first attempt, so the cap on its attempts is never reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_ITEM_ALWAYS_REFUSED, Queue, ask

_WORKERS: Final = 2
_ATTEMPTS: Final = 4


class _Job(NamedTuple):
    item: str
    attempt: int = 1


async def _work(tank: Tank, queue: Queue[_Job], again: Callable[[_Job], _Job]) -> None:
    while True:
        job = await queue.get()
        try:
            answer = await ask(tank, job.item)
        except RateLimited as refusal:
            if job.attempt < _ATTEMPTS:
                await anyio.sleep(refusal.retry_after or 1)
                await queue.put_again(again(job))
                continue
            tank.ledger.fail(job.item, refusal)
        else:
            tank.ledger.complete(job.item, answer)
        queue.done()


async def _run(tank: Tank, items: list[str], again: Callable[[_Job], _Job]) -> None:
    queue: Queue[_Job] = Queue()
    for item in items:
        await queue.put(_Job(item))
    async with anyio.create_task_group() as group:
        for _ in range(_WORKERS):
            group.start_soon(_work, tank, queue, again)
        await queue.join()
        group.cancel_scope.cancel()


SPECIMEN: Final = specimen(
    name="retry_state_lost",
    row="2",
    kind="L",
    story="A refused item is queued again as attempt 1, so the cap on its attempts is never reached: "
    "requests are sent for ever, and the item that is always refused has no outcome.",
    seen="batch-llm up to 0.2, where it was taken for a deadlock: 290 calls in six seconds, each attempt 1",
    run=_run,
    variants=(lambda job: _Job(job.item), lambda job: _Job(job.item, job.attempt + 1)),
    scenario=ONE_ITEM_ALWAYS_REFUSED,
    check="liveness",
    failure="livelock",
    items=3,
    max_virtual_seconds=300,
)
