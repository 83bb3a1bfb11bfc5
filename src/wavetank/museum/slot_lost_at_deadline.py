"""A request that is given up at its deadline keeps its slot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_SHORT_WAVE, ask_until_answered, with_workers

_DEADLINE: Final = 30


class _Slots:
    """Counts the requests under way, to know how many more may be taken from the queue."""

    def __init__(self) -> None:
        self.taken = 0

    async def ask(self, tank: Tank, item: str) -> str:
        self.taken += 1
        text = await ask_until_answered(tank, item)
        self.taken -= 1
        return text


class _FixedSlots(_Slots):
    async def ask(self, tank: Tank, item: str) -> str:
        self.taken += 1
        try:
            return await ask_until_answered(tank, item)
        finally:
            self.taken -= 1


async def _work(tank: Tank, slots: _Slots, items: Iterator[str]) -> None:
    for item in items:
        with anyio.move_on_after(_DEADLINE):
            tank.ledger.complete(item, await slots.ask(tank, item))
            continue
        tank.ledger.cancel(item)


async def _run(tank: Tank, items: list[str], new_slots: type[_Slots]) -> None:
    slots = new_slots()
    tank.watch("taken slots", lambda: slots.taken)
    await with_workers(2, _work, tank, slots, iter(items))


SPECIMEN: Final = specimen(
    name="slot_lost_at_deadline",
    row="36",
    kind="C",
    story="A slot is taken before a request and given back after it. A request that is given up at its "
    "deadline, which seldom passes, never comes there: after enough of them no slot is left.",
    seen="pull request 81 of waymark",
    run=_run,
    variants=(_Slots, _FixedSlots),
    scenario=ONE_SHORT_WAVE,
    check="permits_returned",
    failure="check",
    items=4,
)
