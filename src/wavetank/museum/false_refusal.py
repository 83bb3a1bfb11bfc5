"""An answer whose text contains "429" is taken for a refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_SHORT_WAVE, ask, with_workers

_ATTEMPTS: Final = 3


async def _seconds_to_wait(tank: Tank, item: str, refused: Callable[[str], bool]) -> float:
    """Ask once; 0 when the item has an outcome."""
    try:
        text = await ask(tank, item)
    except RateLimited as refusal:
        return refusal.retry_after or 1
    if refused(text):
        return 1
    tank.ledger.complete(item, text)
    return 0


async def _run(tank: Tank, items: list[str], refused: Callable[[str], bool]) -> None:
    async def work(items: Iterator[str]) -> None:
        for item in items:
            for _ in range(_ATTEMPTS):
                seconds = await _seconds_to_wait(tank, item, refused)
                if not seconds:
                    break
                await anyio.sleep(seconds)
            else:
                tank.ledger.fail(item, "rate limited")

    await with_workers(2, work, iter(items))


def _by_text(text: str) -> bool:
    return "429" in text or "quota" in text


SPECIMEN: Final = specimen(
    name="false_refusal",
    row="11",
    kind="S",
    story="Refusals are recognised by the text of the response. An answer about order 429 is thrown away as "
    "a rate limit, paid for again, and thrown away again.",
    seen="issue 177 of async-batch-llm; ProjectScylla",
    run=_run,
    variants=(_by_text, lambda _: False),
    scenario=ONE_SHORT_WAVE,
    check="exactly_once",
    failure="check",
    items=("order-427", "order-428", "order-429", "order-430"),
)
