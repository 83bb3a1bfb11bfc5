"""A waiter that is cancelled by Ctrl-C just after it was given the permit never releases it."""

from __future__ import annotations

from collections import deque
from typing import Final

import anyio
import anyio.lowlevel

from ..tank.tank import Tank
from .specimen import specimen
from .workload import scenario_of, with_workers, work_with_permit


class _Permit:
    """One permit, handed over to the first waiter."""

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
            await anyio.lowlevel.checkpoint()  # writes to its log how long it waited
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


class _FixedPermit(_Permit):
    def give_up(self, waiter: anyio.Event) -> None:
        super().give_up(waiter)
        if waiter.is_set():
            self.release()


async def _run(tank: Tank, items: list[str], new_permit: type[_Permit]) -> None:
    permit = new_permit()
    tank.watch("free permits", lambda: permit.free)
    await with_workers(3, work_with_permit, tank, permit, iter(items))


SPECIMEN: Final = specimen(
    name="permit_lost_on_interrupt",
    row="39",
    kind="C",
    story="A released permit is handed to the first waiter. If the program is interrupted before that one "
    "runs again, it leaves with an exception and keeps the permit: a server that goes on has lost it.",
    seen="issue 947 of anyio",
    run=_run,
    variants=(_Permit, _FixedPermit),
    interrupt=True,
    scenario=scenario_of("slow-answers", latency={"first_token": "70ms..100ms"}),
    check="permits_returned",
    failure="check",
    items=6,
)
