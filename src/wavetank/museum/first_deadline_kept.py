"""A refusal that asks for a longer wait does not extend the current pause."""

from __future__ import annotations

from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import specimen
from .workload import scenario_of, work_at_gate

_WORKERS: Final = 3
_RAMP: Final = 0.1


class _Pause:
    def __init__(self) -> None:
        self.until = 0.0

    async def enter(self) -> None:
        while (left := self.until - anyio.current_time()) > 0:
            await anyio.sleep(left)

    async def refused(self, seconds: float) -> None:
        if self.until <= anyio.current_time():
            self.until = anyio.current_time() + seconds


class _FixedPause(_Pause):
    async def refused(self, seconds: float) -> None:
        self.until = max(self.until, anyio.current_time() + seconds)


async def _run(tank: Tank, items: list[str], new_pause: type[_Pause]) -> None:
    pause, left = new_pause(), iter(items)
    async with anyio.create_task_group() as group:
        for _ in range(_WORKERS):
            group.start_soon(work_at_gate, tank, pause, left)
            await anyio.sleep(_RAMP)


SPECIMEN: Final = specimen(
    name="first_deadline_kept",
    row="25",
    kind="S",
    story="The first refusal of a wave decides how long all workers pause. A later one that asks for a "
    "longer wait is ignored, and its item is requested again too early.",
    seen="ProjectScylla; issue 40130 of litellm is of the same family",
    run=_run,
    variants=(_Pause, _FixedPause),
    scenario=scenario_of(
        "a-short-wave-and-a-long-one",
        {"at": "0s", "lasts": "50ms", "retry_after": "1s"},
        {"at": "50ms", "lasts": "2s"},
        latency={"refusal": "200ms"},
    ),
    check="retry_after",
    failure="check",
    items=6,
)
