"""The limit is looked at before an await and counted after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio
import anyio.lowlevel

from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask_patiently, submitted, weather, with_workers

_LIMIT: Final = 2
_WORKERS: Final = 4
_ITEMS: Final = 8


class _Slots:
    def __init__(self) -> None:
        self.taken = 0
        self.changed = anyio.Event()

    async def room(self) -> None:
        while self.taken >= _LIMIT:
            await self.changed.wait()

    async def enter(self) -> None:
        await self.room()
        await anyio.lowlevel.checkpoint()  # looks the limit of the user up
        self.taken += 1

    def leave(self) -> None:
        self.taken -= 1
        self.changed.set()
        self.changed = anyio.Event()


class _Mended(_Slots):
    async def enter(self) -> None:
        await anyio.lowlevel.checkpoint()
        await self.room()
        self.taken += 1


async def _work(tank: Tank, slots: _Slots, items: Iterator[str]) -> None:
    for item in items:
        await slots.enter()
        try:
            tank.ledger.complete(item, await ask_patiently(tank, item))
        finally:
            slots.leave()


async def _buggy(tank: Tank) -> None:
    tank.expect(in_flight=_LIMIT)
    await with_workers(_WORKERS, _work, tank, _Slots(), iter(submitted(tank, _ITEMS)))


async def _twin(tank: Tank) -> None:
    tank.expect(in_flight=_LIMIT)
    await with_workers(_WORKERS, _work, tank, _Mended(), iter(submitted(tank, _ITEMS)))


SPECIMEN: Final = Specimen(
    name="limit_not_enforced",
    row="27",
    kind="S",
    story="Each worker looks whether there is room, awaits something else, and then counts itself in. All "
    "who look in that time see the same room, and all go in.",
    seen="issue 2994 of litellm; pull request 4294 of deer-flow",
    buggy=_buggy,
    twin=_twin,
    scenario=weather(
        "one-short-wave", {"at": "300ms", "lasts": "500ms"}, latency={"first_token": "50ms..200ms"}
    ),
    check="in_flight_limit",
    failure="check",
    items=_ITEMS,
)
