"""Every item of the batch is started at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask_patiently, submitted, weather, with_workers

_WORKERS: Final = 8
_ITEMS: Final = 40


async def _one(tank: Tank, item: str) -> None:
    tank.ledger.complete(item, await ask_patiently(tank, item))


async def _several(tank: Tank, items: Iterator[str]) -> None:
    for item in items:
        await _one(tank, item)


async def _buggy(tank: Tank) -> None:
    tank.expect(in_flight=_WORKERS)
    async with anyio.create_task_group() as group:
        for item in submitted(tank, _ITEMS):
            group.start_soon(_one, tank, item)


async def _twin(tank: Tank) -> None:
    tank.expect(in_flight=_WORKERS)
    await with_workers(_WORKERS, _several, tank, iter(submitted(tank, _ITEMS)))


SPECIMEN: Final = Specimen(
    name="unbounded_fan_out",
    row="31",
    kind="S",
    story="One task is made for each item, and all of them ask at once. With a hundred thousand items the "
    "memory is gone before the first answer; here forty requests fly where eight were promised.",
    seen="issue 3089 of lm-evaluation-harness",
    buggy=_buggy,
    twin=_twin,
    scenario=weather(
        "one-short-wave", {"at": "0s", "lasts": "500ms"}, latency={"first_token": "50ms..200ms"}
    ),
    check="in_flight_limit",
    failure="check",
    items=_ITEMS,
)
