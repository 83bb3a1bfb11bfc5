"""A permit that was set free is taken by a newcomer and by the waiter that was woken for it."""

from __future__ import annotations

from collections import deque
from typing import Final

import anyio

from .specimen import specimen
from .workload import ONE_LATER_WAVE, by_workers, work_with_permit

_PERMITS: Final = 2


class _Limiter:
    def __init__(self) -> None:
        self.free = _PERMITS
        self.waiters: deque[anyio.Event] = deque()

    async def acquire(self) -> None:
        if self.free > 0:
            self.free -= 1
            return
        waiter = anyio.Event()
        self.waiters.append(waiter)
        await waiter.wait()
        self.take()

    def take(self) -> None:
        self.free -= 1

    def release(self) -> None:
        self.free += 1
        if self.waiters:
            self.waiters.popleft().set()


class _FixedLimiter(_Limiter):
    """Hands the permit over to the waiter, so that it is never free in between."""

    def take(self) -> None:
        pass

    def release(self) -> None:
        if self.waiters:
            self.waiters.popleft().set()
        else:
            self.free += 1


SPECIMEN: Final = specimen(
    name="limiter_over_grants",
    row="19",
    kind="C",
    story="A released permit wakes a waiter but is not reserved for it. Before the waiter runs, another task "
    "takes the permit, and then the waiter takes it too: three requests are in flight at a limit of two.",
    seen="issue 1170 and pull request 1223 of anyio, fixed in 4.15",
    run=by_workers(4, work_with_permit),
    variants=(_Limiter, _FixedLimiter),
    expect={"in_flight": _PERMITS},
    scenario=ONE_LATER_WAVE,
    check="in_flight_limit",
    failure="check",
    items=8,
)
