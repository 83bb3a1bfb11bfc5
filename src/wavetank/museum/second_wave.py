"""The event that ends a pause is set in the first one and never cleared, so later pauses do not hold."""

from __future__ import annotations

from typing import Final

import anyio

from .specimen import specimen
from .workload import by_workers, scenario_of, work_at_gate


class _Gate:
    def __init__(self) -> None:
        self.paused = False
        self.until = 0.0
        self.resume = anyio.Event()

    async def enter(self) -> None:
        while self.paused and not self.resume.is_set():
            await self.resume.wait()

    async def refused(self, seconds: float) -> None:
        self.until = max(self.until, anyio.current_time() + seconds)
        if not self.paused:
            self.paused = True
            await self.pause()
            self.paused = False

    async def pause(self) -> None:
        while (left := self.until - anyio.current_time()) > 0:
            await anyio.sleep(left)
        self.resume.set()


class _FixedGate(_Gate):
    async def pause(self) -> None:
        self.resume = anyio.Event()
        await super().pause()


SPECIMEN: Final = specimen(
    name="second_wave",
    row="7",
    kind="S",
    story="Workers wait for an event that says when the pause is over. It is set at the end of the first "
    "pause and never cleared, so in the second wave no worker waits.",
    seen="ProjectScylla",
    run=by_workers(3, work_at_gate),
    variants=(_Gate, _FixedGate),
    scenario=scenario_of(
        "two-waves",
        {"at": "0s", "lasts": "1s"},
        {"at": "1500ms", "lasts": "1s"},
        latency={"first_token": "100ms..300ms"},
    ),
    check="shared_pause",
    failure="check",
    items=18,
)
