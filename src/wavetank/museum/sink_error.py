"""A result that cannot be written is never subtracted from the count of items in progress."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import specimen
from .workload import ONE_SHORT_WAVE, ask_until_answered

_FULL_AT: Final = 3


class _Batch:
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

    async def guarded(self, work: Callable[[_Batch, str], Awaitable[None]], item: str) -> None:
        """Run a task that is not awaited: its error is only logged."""
        try:
            await work(self, item)
        except OSError as error:
            self.errors.append(error)

    async def write_and_finish(self, item: str) -> None:
        self.write(item, await ask_until_answered(self.tank, item))
        self.finished()

    async def finish_in_any_case(self, item: str) -> None:
        try:
            self.write(item, await ask_until_answered(self.tank, item))
        except OSError as error:
            self.tank.ledger.fail(item, error)
        finally:
            self.finished()


async def _run(tank: Tank, items: list[str], work: Callable[[_Batch, str], Awaitable[None]]) -> None:
    batch = _Batch(tank)
    async with anyio.create_task_group() as group:
        for item in items:
            batch.in_progress += 1
            group.start_soon(batch.guarded, work, item)
        await batch.idle.wait()


SPECIMEN: Final = specimen(
    name="sink_error",
    row="14",
    kind="H",
    story="Each item is a task that is not awaited, and the run waits until none is in progress. The third "
    "result cannot be written, its task ends there, and the count never reaches zero.",
    seen="the parallel request script of openai-cookbook",
    run=_run,
    variants=(_Batch.write_and_finish, _Batch.finish_in_any_case),
    scenario=ONE_SHORT_WAVE,
    check="liveness",
    failure="deadlock",
    items=4,
)
