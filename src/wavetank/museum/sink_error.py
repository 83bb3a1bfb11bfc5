"""A result that cannot be written leaves the count of work in progress up for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask_patiently, submitted, weather

_ITEMS: Final = 4
_FULL_AT: Final = 3


class _Run:
    def __init__(self, tank: Tank) -> None:
        self.tank = tank
        self.in_progress = 0
        self.idle = anyio.Event()
        self.errors: list[OSError] = []
        self.written = 0

    def write(self, item: str, answer: str) -> None:
        self.written += 1
        if self.written == _FULL_AT:
            raise OSError("no space left on the device")
        self.tank.ledger.complete(item, answer)

    def finished(self) -> None:
        self.in_progress -= 1
        if not self.in_progress:
            self.idle.set()

    async def guarded(self, work: Callable[[str], Awaitable[None]], item: str) -> None:
        """Run a task that nobody awaits: its error is logged, and that is all."""
        try:
            await work(item)
        except OSError as error:
            self.errors.append(error)

    async def buggy(self, item: str) -> None:
        self.write(item, await ask_patiently(self.tank, item))
        self.finished()

    async def twin(self, item: str) -> None:
        try:
            self.write(item, await ask_patiently(self.tank, item))
        except OSError as error:
            self.tank.ledger.fail(item, error)
        finally:
            self.finished()


async def _all(run: _Run, work: Callable[[str], Awaitable[None]]) -> None:
    async with anyio.create_task_group() as group:
        for item in submitted(run.tank, _ITEMS):
            run.in_progress += 1
            group.start_soon(run.guarded, work, item)
        await run.idle.wait()


async def _buggy(tank: Tank) -> None:
    run = _Run(tank)
    await _all(run, run.buggy)


async def _twin(tank: Tank) -> None:
    run = _Run(tank)
    await _all(run, run.twin)


SPECIMEN: Final = Specimen(
    name="sink_error",
    row="14",
    kind="H",
    story="Each item is a task that nobody awaits, and the run waits until none is in progress. The third "
    "result cannot be written, its task ends there, and the count never comes down to zero.",
    seen="the parallel request script of openai-cookbook",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("one-short-wave", {"at": "0s", "lasts": "500ms"}),
    check="liveness",
    failure="deadlock",
    items=_ITEMS,
)
