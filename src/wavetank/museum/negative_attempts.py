"""With no attempts allowed the counter becomes -1, which counts as true for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_ITEM_ALWAYS_REFUSED, ask, with_workers

_WORKERS: Final = 2
_RETRIES: Final = 0


async def _run(tank: Tank, items: list[str], any_left: Callable[[int], object]) -> None:
    async def work(items: Iterator[str]) -> None:
        for item in items:
            retries = _RETRIES
            while True:
                try:
                    tank.ledger.complete(item, await ask(tank, item))
                    break
                except RateLimited as refusal:
                    retries -= 1
                    if not any_left(retries):
                        tank.ledger.fail(item, refusal)
                        break
                    await anyio.sleep(refusal.retry_after or 1)

    await with_workers(_WORKERS, work, iter(items))


SPECIMEN: Final = specimen(
    name="negative_attempts",
    row="13",
    kind="L",
    story="The remaining retries are counted down before they are checked, and `if retries` is true for -1. "
    "A user who asks for no retries gets endless ones.",
    seen="issue 3012 of openai-cookbook: 3433 requests in eight seconds",
    run=_run,
    variants=(lambda retries: retries, lambda retries: retries > 0),
    scenario=ONE_ITEM_ALWAYS_REFUSED,
    check="liveness",
    failure="livelock",
    items=3,
    max_virtual_seconds=300,
)
