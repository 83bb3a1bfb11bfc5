"""The limit is checked before an await, and the request is counted after it."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.lowlevel

from .specimen import specimen
from .workload import ONE_LATER_WAVE, by_workers, work_with_permit

_LIMIT: Final = 2


class _Slots:
    def __init__(self) -> None:
        self.taken = 0
        self.changed = anyio.Event()

    async def room(self) -> None:
        while self.taken >= _LIMIT:
            await self.changed.wait()

    async def acquire(self) -> None:
        await self.room()
        await anyio.lowlevel.checkpoint()  # looks up the limit of the user
        self.taken += 1

    def release(self) -> None:
        self.taken -= 1
        self.changed.set()
        self.changed = anyio.Event()


class _FixedSlots(_Slots):
    async def acquire(self) -> None:
        await anyio.lowlevel.checkpoint()
        await self.room()
        self.taken += 1


SPECIMEN: Final = specimen(
    name="limit_not_enforced",
    row="27",
    kind="S",
    story="Each worker checks whether there is room, awaits something else, and then counts itself. All "
    "workers that check in that time see the same room, and all of them send.",
    seen="issue 2994 of litellm; pull request 4294 of deer-flow",
    run=by_workers(4, work_with_permit),
    variants=(_Slots, _FixedSlots),
    expect={"in_flight": _LIMIT},
    scenario=ONE_LATER_WAVE,
    check="in_flight_limit",
    failure="check",
    items=8,
)
