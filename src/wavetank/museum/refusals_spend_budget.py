"""Refusals use up the attempts that were meant for errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited, ServerError
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask, scenario_of, with_workers

_WORKERS: Final = 2
_ATTEMPTS: Final = 3


async def _one_budget(tank: Tank, item: str) -> str | None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return await ask(tank, item)
        except RateLimited as refusal:
            await anyio.sleep(refusal.retry_after or 1)
        except ServerError:
            if attempt == _ATTEMPTS:
                raise
            await anyio.sleep(1)
    return None


async def _errors_only(tank: Tank, item: str) -> str | None:
    errors = 0
    while True:
        try:
            return await ask(tank, item)
        except RateLimited as refusal:
            await anyio.sleep(refusal.retry_after or 1)
        except ServerError:
            errors += 1
            if errors == _ATTEMPTS:
                raise
            await anyio.sleep(1)


async def _run(tank: Tank, items: list[str], answer: Callable[[Tank, str], Awaitable[str | None]]) -> None:
    async def work(items: Iterator[str]) -> None:
        for item in items:
            try:
                if value := await answer(tank, item):
                    tank.ledger.complete(item, value)
            except ServerError as error:
                tank.ledger.fail(item, error)

    await with_workers(_WORKERS, work, iter(items))


SPECIMEN: Final = specimen(
    name="refusals_spend_budget",
    row="9",
    kind="D",
    story="One counter for refusals and for errors: a wave that outlasts three waits uses up the attempts, "
    "and the loop ends without an answer and without an error to report.",
    seen="async-batch-llm up to 0.12, where 15 of 40 items failed; issue 1519 of ragas",
    run=_run,
    variants=(_one_budget, _errors_only),
    scenario=scenario_of("a-long-wave", {"at": "0s", "lasts": "5s", "retry_after": "1s"}),
    check="exactly_once",
    failure="check",
    items=4,
)
