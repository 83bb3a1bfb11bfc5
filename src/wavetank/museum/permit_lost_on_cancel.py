"""A waiter that is cancelled just after it was given the permit takes it along."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import anyio
import anyio.lowlevel

from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask_patiently, submitted, weather, with_workers

_WORKERS: Final = 3
_ITEMS: Final = 9
_PATIENCE: Final = 0.1


class _Permit:
    """One permit, handed over to the first who waits."""

    def __init__(self) -> None:
        self.free = 1
        self.waiters: deque[anyio.Event] = deque()

    async def acquire(self) -> None:
        if self.free:
            self.free -= 1
            return
        waiter = anyio.Event()
        self.waiters.append(waiter)
        try:
            await waiter.wait()
            await anyio.lowlevel.checkpoint()  # tells its log how long it waited
        except BaseException:
            self.give_up(waiter)
            raise

    def give_up(self, waiter: anyio.Event) -> None:
        if waiter in self.waiters:
            self.waiters.remove(waiter)

    def release(self) -> None:
        if self.waiters:
            self.waiters.popleft().set()
        else:
            self.free += 1


class _Mended(_Permit):
    def give_up(self, waiter: anyio.Event) -> None:
        super().give_up(waiter)
        if waiter.is_set():
            self.release()


async def _work(tank: Tank, permit: _Permit, items: Iterator[str]) -> None:
    for item in items:
        with anyio.move_on_after(_PATIENCE) as patience:
            await permit.acquire()
        if patience.cancelled_caught:
            tank.ledger.cancel(item)
            continue
        try:
            tank.ledger.complete(item, await ask_patiently(tank, item))
        finally:
            permit.release()


async def _run(tank: Tank, permit: _Permit) -> None:
    tank.watch("free permits", lambda: permit.free)
    await with_workers(_WORKERS, _work, tank, permit, iter(submitted(tank, _ITEMS)))


async def _buggy(tank: Tank) -> None:
    await _run(tank, _Permit())


async def _twin(tank: Tank) -> None:
    await _run(tank, _Mended())


SPECIMEN: Final = Specimen(
    name="permit_lost_on_cancel",
    row="19",
    kind="C",
    story="A released permit is handed to the first who waits. If the patience of that one ends before it "
    "goes on, it leaves with an exception and the permit is nobody's: all who come later wait in vain.",
    seen="the family of issue 1170 of anyio: a permit and a cancellation in one instant",
    buggy=_buggy,
    twin=_twin,
    scenario=weather("slow-answers", latency={"first_token": "70ms..100ms"}),
    check="permits_returned",
    failure="check",
    items=_ITEMS,
)
