"""The framework retries what the SDK below it has retried already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_ITEM_ALWAYS_REFUSED, ask, with_workers

_WORKERS: Final = 2
_ATTEMPTS: Final = 3


async def _sdk(tank: Tank, item: str, attempts: int) -> str:
    for _ in range(attempts - 1):
        try:
            return await ask(tank, item)
        except RateLimited as refusal:
            await anyio.sleep(refusal.retry_after or 1)
    return await ask(tank, item)


async def _framework(tank: Tank, item: str, sdk_attempts: int) -> None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            tank.ledger.complete(item, await _sdk(tank, item, sdk_attempts))
            return
        except RateLimited as refusal:
            if attempt == _ATTEMPTS:
                tank.ledger.fail(item, refusal)
            else:
                await anyio.sleep(refusal.retry_after or 1)


async def _run(tank: Tank, items: list[str], sdk_attempts: int) -> None:

    async def work(items: Iterator[str]) -> None:
        for item in items:
            await _framework(tank, item, sdk_attempts)

    await with_workers(_WORKERS, work, iter(items))


SPECIMEN: Final = specimen(
    name="nested_retries",
    row="24",
    kind="S",
    story="The framework is configured to try three times and does not know that the SDK below it tries "
    "three times, too: an item that is refused takes nine requests.",
    seen="pull request 317 of code_puppy: 45 requests for one call",
    run=_run,
    variants=(_ATTEMPTS, 1),
    scenario=ONE_ITEM_ALWAYS_REFUSED,
    check="no_storm",
    failure="check",
    expect={"requests_per_item": _ATTEMPTS},
    items=3,
)
