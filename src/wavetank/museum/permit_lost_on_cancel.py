"""A waiter that is cancelled just after it was given the permit never releases it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import anyio
import anyio.lowlevel

from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask_until_answered, scenario_of, with_workers

_WORKERS: Final = 3
_TIMEOUT: Final = 0.1


class Permit:
    """One permit, handed over to the first waiter."""

    def __init__(self) -> None:
        self.free = 1
        self.waiters: deque[anyio.Event] = deque()

    async def acquire(self) -> None:
        """Take the permit, or wait until it is handed over."""
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
        """Wait no longer."""
        if waiter in self.waiters:
            self.waiters.remove(waiter)

    def release(self) -> None:
        """Hand the permit to the first waiter."""
        if self.waiters:
            self.waiters.popleft().set()
        else:
            self.free += 1


class FixedPermit(Permit):
    """A waiter that gives up passes on the permit that it was given."""

    def give_up(self, waiter: anyio.Event) -> None:
        super().give_up(waiter)
        if waiter.is_set():
            self.release()


async def _work(tank: Tank, permit: Permit, items: Iterator[str]) -> None:
    for item in items:
        with anyio.move_on_after(_TIMEOUT) as timeout:
            await permit.acquire()
        if timeout.cancelled_caught:
            tank.ledger.cancel(item)
            continue
        try:
            tank.ledger.complete(item, await ask_until_answered(tank, item))
        finally:
            permit.release()


async def _run(tank: Tank, items: list[str], new_permit: type[Permit]) -> None:
    permit = new_permit()
    tank.watch("free permits", lambda: permit.free)
    await with_workers(_WORKERS, _work, tank, permit, iter(items))


SPECIMEN: Final = specimen(
    name="permit_lost_on_cancel",
    row="19",
    kind="C",
    story="A released permit is handed to the first waiter. If the timeout of that waiter ends before it "
    "runs again, it leaves with an exception and the permit is lost: all later waiters wait for ever.",
    seen="the family of issue 1170 of anyio: a permit and a cancellation in one instant",
    run=_run,
    variants=(Permit, FixedPermit),
    scenario=scenario_of("slow-answers", latency={"first_token": "70ms..100ms"}),
    check="permits_returned",
    failure="check",
    items=9,
)
