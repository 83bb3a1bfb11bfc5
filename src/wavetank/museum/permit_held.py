"""The permit for a request is held while its item waits to be asked again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask, submitted, weather

_PERMITS: Final = 1
_ITEMS: Final = 5
_ATTEMPTS: Final = 4

_Ask = Callable[[Tank, str], Awaitable[str]]


async def _tried(tank: Tank, item: str, ask_once: _Ask) -> None:
    for _ in range(_ATTEMPTS):
        try:
            tank.ledger.complete(item, await ask_once(tank, item))
            return
        except RateLimited as refusal:
            told = refusal
            await anyio.sleep(refusal.retry_after or 1)
    tank.ledger.fail(item, told)


async def _buggy(tank: Tank) -> None:
    permits = anyio.Semaphore(_PERMITS)

    async def work(item: str) -> None:
        async with permits:
            await _tried(tank, item, ask)

    async with anyio.create_task_group() as group:
        for item in submitted(tank, _ITEMS):
            group.start_soon(work, item)


async def _twin(tank: Tank) -> None:
    permits = anyio.Semaphore(_PERMITS)

    async def ask_once(tank: Tank, item: str) -> str:
        async with permits:
            return await ask(tank, item)

    async with anyio.create_task_group() as group:
        for item in submitted(tank, _ITEMS):
            group.start_soon(_tried, tank, item, ask_once)


SPECIMEN: Final = Specimen(
    name="permit_held",
    row="23",
    kind="S",
    story="The semaphore is around the whole retry loop, so an item that waits to be asked again keeps its "
    "permit. The waits of four refused items, which could pass side by side, pass one after another.",
    seen="issue 3130 of hindsight",
    buggy=_buggy,
    twin=_twin,
    scenario=weather(
        "four-items-refused-for-ever",
        {
            "lasts": "1h",
            "every": "1h",
            "match": {"item": "item-[1-4]"},
            "scope": "item",
            "retry_after": "10s",
        },
    ),
    check="liveness",
    failure="overrun",
    items=_ITEMS,
    max_virtual_seconds=90,
)
