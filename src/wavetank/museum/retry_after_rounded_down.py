"""A wait of half a second is rounded down to whole seconds, which is no wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask, scenario_of, with_workers

_WORKERS: Final = 2


async def _run(tank: Tank, items: list[str], read: Callable[[float], float]) -> None:
    async def work(items: Iterator[str]) -> None:
        for item in items:
            while True:
                try:
                    tank.ledger.complete(item, await ask(tank, item))
                    break
                except RateLimited as refusal:
                    await anyio.sleep(1 if refusal.retry_after is None else read(refusal.retry_after))

    await with_workers(_WORKERS, work, iter(items))


SPECIMEN: Final = specimen(
    name="retry_after_rounded_down",
    row="25",
    kind="S",
    story="The header is read as whole seconds, so a Retry-After of 0.5 becomes 0 and the item is sent "
    "again at once, as long as the wave lasts.",
    seen="pull request 3555 of openai-python",
    run=_run,
    variants=(int, float),
    scenario=scenario_of("half-a-second", {"lasts": "400ms", "retry_after": "500ms"}),
    check="retry_after",
    failure="check",
    items=4,
)
