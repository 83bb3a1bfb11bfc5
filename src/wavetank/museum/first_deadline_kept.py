"""A pause that is under way is not made longer by a refusal that asks for more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask, submitted, weather

_WORKERS: Final = 3
_ITEMS: Final = 6
_RAMP: Final = 0.1


class _Pause:
    def __init__(self) -> None:
        self.until = 0.0

    async def over(self) -> None:
        while (left := self.until - anyio.current_time()) > 0:
            await anyio.sleep(left)

    def refused(self, seconds: float) -> None:
        if self.until <= anyio.current_time():
            self.until = anyio.current_time() + seconds


class _Mended(_Pause):
    def refused(self, seconds: float) -> None:
        self.until = max(self.until, anyio.current_time() + seconds)


async def _work(tank: Tank, pause: _Pause, items: Iterator[str]) -> None:
    for item in items:
        while True:
            await pause.over()
            try:
                tank.ledger.complete(item, await ask(tank, item))
                break
            except RateLimited as refusal:
                pause.refused(refusal.retry_after or 1)


async def _run(tank: Tank, pause: _Pause) -> None:
    items = iter(submitted(tank, _ITEMS))
    async with anyio.create_task_group() as group:
        for _ in range(_WORKERS):
            group.start_soon(_work, tank, pause, items)
            await anyio.sleep(_RAMP)


async def _buggy(tank: Tank) -> None:
    await _run(tank, _Pause())


async def _twin(tank: Tank) -> None:
    await _run(tank, _Mended())


SPECIMEN: Final = Specimen(
    name="first_deadline_kept",
    row="25",
    kind="S",
    story="The first refusal of a wave says how long everybody pauses. A later one that asks for a longer "
    "wait is ignored, and its item is asked again too early.",
    seen="ProjectScylla; issue 40130 of litellm is of the same family",
    buggy=_buggy,
    twin=_twin,
    scenario=weather(
        "a-short-wave-and-a-long-one",
        {"at": "0s", "lasts": "50ms", "retry_after": "1s"},
        {"at": "50ms", "lasts": "2s"},
        latency={"refusal": "200ms"},
    ),
    check="retry_after",
    failure="check",
    items=_ITEMS,
)
