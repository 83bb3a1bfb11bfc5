"""With no attempts allowed the counter becomes -1, which counts as true for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask, submitted, weather, with_workers

_WORKERS: Final = 2
_ITEMS: Final = 3
_RETRIES: Final = 0


async def _run(tank: Tank, any_left: Callable[[int], object]) -> None:
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

    await with_workers(_WORKERS, work, iter(submitted(tank, _ITEMS)))


async def _buggy(tank: Tank) -> None:
    await _run(tank, lambda retries: retries)


async def _twin(tank: Tank) -> None:
    await _run(tank, lambda retries: retries > 0)


SPECIMEN: Final = Specimen(
    name="negative_attempts",
    row="13",
    kind="L",
    story="The retries left are counted down before they are looked at, and `if retries` holds for -1. Who "
    "asks for no retries gets no end of them.",
    seen="issue 3012 of openai-cookbook: 3433 requests in eight seconds",
    buggy=_buggy,
    twin=_twin,
    scenario=weather(
        "one-item-refused-for-ever",
        {"lasts": "1h", "every": "1h", "match": {"item": "item-2"}, "retry_after": "1s"},
    ),
    check="liveness",
    failure="livelock",
    items=_ITEMS,
    max_virtual_seconds=300,
)
