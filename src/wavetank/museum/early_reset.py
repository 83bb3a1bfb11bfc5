"""The leader of a cooldown declares it over before it has woken the workers that wait for its end."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.lowlevel

from .specimen import specimen
from .workload import LATE_REFUSALS, by_workers, work_at_gate


class _Cooldown:
    def __init__(self) -> None:
        self.under_way = False
        self.over = anyio.Event()

    async def enter(self) -> None:
        """Requests are sent during a cooldown, too."""

    async def refused(self, seconds: float) -> None:
        if self.under_way:
            await self.over.wait()
            return
        self.under_way = True
        self.over = anyio.Event()
        await anyio.sleep(seconds)
        await self.end()

    async def end(self) -> None:
        self.under_way = False
        await anyio.lowlevel.checkpoint()  # writes to its log that the cooldown is over
        self.over.set()


class _FixedCooldown(_Cooldown):
    async def end(self) -> None:
        self.over.set()
        self.under_way = False


SPECIMEN: Final = specimen(
    name="early_reset",
    row="8b",
    kind="H",
    story="The leader of a cooldown resets the flag, then sets the event. A worker that is refused in "
    "between leads another cooldown with an event of its own; the first leader sets that one, and the "
    "workers that wait on the old one are never woken.",
    seen="the analysis of a hang of batch-llm with four workers",
    run=by_workers(4, work_at_gate),
    variants=(_Cooldown, _FixedCooldown),
    scenario=LATE_REFUSALS,
    check="liveness",
    failure="deadlock",
    items=8,
)
