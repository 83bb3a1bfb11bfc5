"""A wait of half a second is cut to whole seconds, which leaves none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask, submitted, weather, with_workers

_WORKERS: Final = 2
_ITEMS: Final = 4


async def _run(tank: Tank, read: Callable[[float], float]) -> None:
    async def work(items: Iterator[str]) -> None:
        for item in items:
            while True:
                try:
                    tank.ledger.complete(item, await ask(tank, item))
                    break
                except RateLimited as refusal:
                    await anyio.sleep(1 if refusal.retry_after is None else read(refusal.retry_after))

    await with_workers(_WORKERS, work, iter(submitted(tank, _ITEMS)))


async def _buggy(tank: Tank) -> None:
    await _run(tank, int)


async def _twin(tank: Tank) -> None:
    await _run(tank, float)


SPECIMEN: Final = Specimen(
    name="retry_after_rounded_down",
    row="25",
    kind="S",
    story="The header is read as whole seconds, so a Retry-After of 0.5 becomes 0 and the item is asked "
    "again at once, for as long as the wave lasts.",
    seen="pull request 3555 of openai-python",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("half-a-second", {"lasts": "400ms", "retry_after": "500ms"}),
    check="retry_after",
    failure="check",
    items=_ITEMS,
)
