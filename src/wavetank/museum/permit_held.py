"""The permit for a request is held while its item waits to be asked again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask, scenario_of

_PERMITS: Final = 1
_ATTEMPTS: Final = 4

_Ask = Callable[[Tank, str], Awaitable[str]]


async def _ask_repeatedly(tank: Tank, item: str, ask_once: _Ask) -> None:
    for _ in range(_ATTEMPTS):
        try:
            tank.ledger.complete(item, await ask_once(tank, item))
            return
        except RateLimited as refusal:
            last = refusal
            await anyio.sleep(refusal.retry_after or 1)
    tank.ledger.fail(item, last)


async def _run(tank: Tank, items: list[str], held_between_attempts: bool) -> None:
    permits = anyio.Semaphore(_PERMITS)

    async def ask_with_permit(tank: Tank, item: str) -> str:
        async with permits:
            return await ask(tank, item)

    async def work(item: str) -> None:
        if held_between_attempts:
            async with permits:
                await _ask_repeatedly(tank, item, ask)
        else:
            await _ask_repeatedly(tank, item, ask_with_permit)

    async with anyio.create_task_group() as group:
        for item in items:
            group.start_soon(work, item)


SPECIMEN: Final = specimen(
    name="permit_held",
    row="23",
    kind="S",
    story="The semaphore is around the whole retry loop, so an item keeps its permit while it waits to be "
    "sent again. Four refused items wait one after another instead of at the same time.",
    seen="issue 3130 of hindsight",
    run=_run,
    variants=(True, False),
    scenario=scenario_of(
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
    items=5,
    max_virtual_seconds=90,
)
