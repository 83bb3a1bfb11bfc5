"""All items of the batch are started at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask_until_answered, scenario_of, with_workers

_WORKERS: Final = 8


async def _work(tank: Tank, items: Iterable[str]) -> None:
    for item in items:
        tank.ledger.complete(item, await ask_until_answered(tank, item))


async def _run(tank: Tank, items: list[str], bounded: bool) -> None:
    if bounded:
        await with_workers(_WORKERS, _work, tank, iter(items))
        return
    async with anyio.create_task_group() as group:
        for item in items:
            group.start_soon(_work, tank, [item])


SPECIMEN: Final = specimen(
    name="unbounded_fan_out",
    row="31",
    kind="S",
    story="One task is made for each item, and all of them send at once. With a hundred thousand items the "
    "memory is used up before the first answer; here forty requests are in flight where eight are allowed.",
    seen="issue 3089 of lm-evaluation-harness",
    run=_run,
    variants=(False, True),
    expect={"in_flight": _WORKERS},
    scenario=scenario_of(
        "one-short-wave", {"at": "0s", "lasts": "500ms"}, latency={"first_token": "50ms..200ms"}
    ),
    check="in_flight_limit",
    failure="check",
    items=40,
)
