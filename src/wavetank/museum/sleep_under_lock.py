"""The limiter calls itself again while it holds its own lock."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_SHORT_WAVE, ask_until_answered, by_workers

_SPACING: Final = 0.5


class _Limiter:
    """Allows one request every half second."""

    def __init__(self) -> None:
        self.lock = anyio.Semaphore(1)
        self.next = 0.0

    def left(self) -> float:
        return self.next - anyio.current_time()

    async def acquire(self) -> None:
        async with self.lock:
            if self.left() > 0:
                await anyio.sleep(self.left())
                await self.acquire()
            else:
                self.next = anyio.current_time() + _SPACING


class _FixedLimiter(_Limiter):
    async def acquire(self) -> None:
        while True:
            async with self.lock:
                if self.left() <= 0:
                    self.next = anyio.current_time() + _SPACING
                    return
            await anyio.sleep(self.left())


async def _work(tank: Tank, limiter: _Limiter, items: Iterator[str]) -> None:
    for item in items:
        await limiter.acquire()
        tank.ledger.complete(item, await ask_until_answered(tank, item))


SPECIMEN: Final = specimen(
    name="sleep_under_lock",
    row="17",
    kind="H",
    story="When the limit is reached the limiter sleeps under its lock, which stops all workers, and then "
    "calls itself again: it waits for the lock that it holds.",
    seen="pull request 529 of Archon; the writer of parallamr, whose reset() took its lock twice",
    run=by_workers(2, _work),
    variants=(_Limiter, _FixedLimiter),
    scenario=ONE_SHORT_WAVE,
    check="liveness",
    failure="deadlock",
    items=4,
)
