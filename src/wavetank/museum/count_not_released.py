"""The count of requests in flight goes down only when one succeeds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_SHORT_WAVE, ask, with_workers

_WORKERS: Final = 2


class _Router:
    def __init__(self, tank: Tank) -> None:
        self.tank = tank
        self.in_flight = 0
        tank.watch("in flight", lambda: self.in_flight)

    async def count_successes(self, item: str) -> str:
        self.in_flight += 1
        answer = await ask(self.tank, item)
        self.in_flight -= 1
        return answer

    async def count_all(self, item: str) -> str:
        self.in_flight += 1
        try:
            return await ask(self.tank, item)
        finally:
            self.in_flight -= 1


async def _run(tank: Tank, items: list[str], route: Callable[[_Router, str], Awaitable[str]]) -> None:
    router = _Router(tank)

    async def work(items: Iterator[str]) -> None:
        for item in items:
            while True:
                try:
                    tank.ledger.complete(item, await route(router, item))
                    break
                except RateLimited as refusal:
                    await anyio.sleep(refusal.retry_after or 1)

    await with_workers(_WORKERS, work, iter(items))


SPECIMEN: Final = specimen(
    name="count_not_released",
    row="18",
    kind="C",
    story="A router counts the requests in flight to find the least busy deployment. The count goes down "
    "only after a success, so each refusal leaves one behind that is never in flight again.",
    seen="issues 20256 and 1477 of litellm",
    run=_run,
    variants=(_Router.count_successes, _Router.count_all),
    scenario=ONE_SHORT_WAVE,
    check="permits_returned",
    failure="check",
    items=4,
)
