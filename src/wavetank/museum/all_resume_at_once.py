"""A pause ends for all workers at the same instant."""

from __future__ import annotations

from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_SHORT_WAVE, ask

_SPREAD: Final = 0.02
_HERD: Final = 0.5


class _Pause:
    def __init__(self, spread: float) -> None:
        self.until = 0.0
        self.spread = spread

    async def over(self, worker: int) -> None:
        while (left := self.until - anyio.current_time()) > 0:
            await anyio.sleep(left + worker * self.spread)

    def refused(self, seconds: float) -> None:
        self.until = max(self.until, anyio.current_time() + seconds)


async def _work(tank: Tank, pause: _Pause, worker: int, item: str) -> None:
    while True:
        await pause.over(worker)
        try:
            tank.ledger.complete(item, await ask(tank, item))
            return
        except RateLimited as refusal:
            pause.refused(refusal.retry_after or 1)


async def _run(tank: Tank, items: list[str], spread: float) -> None:
    pause = _Pause(spread)
    async with anyio.create_task_group() as group:
        for worker, item in enumerate(items):
            group.start_soon(_work, tank, pause, worker, item)


SPECIMEN: Final = specimen(
    name="all_resume_at_once",
    row="25",
    kind="S",
    story="All workers sleep until the same instant and send together, which is how one wave causes the "
    "next. In the twin they resume one after another.",
    seen="ProjectScylla",
    run=_run,
    variants=(0, _SPREAD),
    scenario=ONE_SHORT_WAVE,
    check="no_herd",
    failure="check",
    expect={"herd": _HERD},
    items=6,
)
