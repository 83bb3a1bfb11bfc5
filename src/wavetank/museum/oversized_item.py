"""An item that costs more than the bucket can ever hold waits for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_SHORT_WAVE, ask_until_answered, by_workers

_CAPACITY: Final = 10.0
_PER_SECOND: Final = 10.0
_COSTS: Final = {"item-1": 4.0, "item-2": 8.0, "item-3": 12.0, "item-4": 2.0}


class _Bucket:
    def __init__(self) -> None:
        self.level = _CAPACITY
        self.at = anyio.current_time()

    def refill(self) -> None:
        now = anyio.current_time()
        self.level = min(_CAPACITY, self.level + (now - self.at) * _PER_SECOND)
        self.at = now

    async def spend(self, cost: float) -> None:
        self.refill()
        while self.level < cost:
            await anyio.sleep(0.1)
            self.refill()
        self.level -= cost


class _FixedBucket(_Bucket):
    async def spend(self, cost: float) -> None:
        await super().spend(min(cost, _CAPACITY))


async def _work(tank: Tank, bucket: _Bucket, items: Iterator[str]) -> None:
    for item in items:
        await bucket.spend(_COSTS[item])
        tank.ledger.complete(item, await ask_until_answered(tank, item))


SPECIMEN: Final = specimen(
    name="oversized_item",
    row="12",
    kind="H",
    story="The limiter waits until the bucket holds what the item costs. It holds ten at most and the item "
    "costs twelve, so the worker waits for ever.",
    seen="the parallel request script of openai-cookbook; openlimit 0.3",
    run=by_workers(2, _work),
    variants=(_Bucket, _FixedBucket),
    scenario=ONE_SHORT_WAVE,
    check="liveness",
    failure="livelock",
    items=[*_COSTS],
    max_virtual_seconds=60,
)
