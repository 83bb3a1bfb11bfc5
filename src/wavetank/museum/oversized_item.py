"""An item that costs more than the bucket can ever hold waits for ever."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask_patiently, submitted, weather, with_workers

_WORKERS: Final = 2
_CAPACITY: Final = 10.0
_PER_SECOND: Final = 10.0
_COSTS: Final = (4.0, 8.0, 12.0, 2.0)


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


class _Mended(_Bucket):
    async def spend(self, cost: float) -> None:
        await super().spend(min(cost, _CAPACITY))


async def _work(tank: Tank, bucket: _Bucket, items: Iterator[tuple[str, float]]) -> None:
    for item, cost in items:
        await bucket.spend(cost)
        tank.ledger.complete(item, await ask_patiently(tank, item))


async def _buggy(tank: Tank) -> None:
    items = submitted(tank, len(_COSTS))
    await with_workers(_WORKERS, _work, tank, _Bucket(), iter(zip(items, _COSTS, strict=True)))


async def _twin(tank: Tank) -> None:
    items = submitted(tank, len(_COSTS))
    await with_workers(_WORKERS, _work, tank, _Mended(), iter(zip(items, _COSTS, strict=True)))


SPECIMEN: Final = Specimen(
    name="oversized_item",
    row="12",
    kind="H",
    story="The limiter looks again and again whether the bucket holds what the item costs. It holds ten at "
    "most and the item costs twelve, so the worker looks for ever.",
    seen="the parallel request script of openai-cookbook; openlimit 0.3",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("one-short-wave", {"at": "0s", "lasts": "500ms"}),
    check="liveness",
    failure="livelock",
    items=len(_COSTS),
    max_virtual_seconds=60,
)
