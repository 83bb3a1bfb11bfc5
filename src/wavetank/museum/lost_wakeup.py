"""A worker that was woken clears the event before a late worker waits on it."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.lowlevel

from .specimen import specimen
from .workload import by_workers, scenario_of, work_at_gate


class _Gate:
    def __init__(self) -> None:
        self.paused = False
        self.resume = anyio.Event()

    async def enter(self) -> None:
        if self.paused:
            await anyio.lowlevel.checkpoint()  # writes to its log that it waits
            await self.resume.wait()
            self.resume = anyio.Event()

    async def refused(self, seconds: float) -> None:
        if not self.paused:
            self.paused = True
            await anyio.sleep(seconds)
            self.paused = False
            self.resume.set()


class _FixedGate(_Gate):
    async def enter(self) -> None:
        while self.paused:
            await self.resume.wait()

    async def refused(self, seconds: float) -> None:
        if not self.paused:
            self.resume = anyio.Event()
            await super().refused(seconds)


SPECIMEN: Final = specimen(
    name="lost_wakeup",
    row="8",
    kind="H",
    story="Each worker that is woken by the shared event clears it. A worker that saw the pause but does not "
    "wait yet is too late: it waits on an event that is cleared and never set again.",
    seen="ProjectScylla, before the race was fixed",
    run=by_workers(6, work_at_gate),
    variants=(_Gate, _FixedGate),
    scenario=scenario_of(
        "a-wave-among-answers",
        {
            "at": "0s",
            "lasts": "20ms",
            "retry_after": "60ms",
            "match": {"item": "item-[12]"},
            "scope": "account",
        },
        latency={"first_token": "40ms..100ms"},
    ),
    check="liveness",
    failure="deadlock",
    items=12,
)
