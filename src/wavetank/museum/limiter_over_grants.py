"""A permit that was set free is taken by a newcomer and by the waiter that was woken for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final

import anyio

from ..tank.tank import Tank
from .specimen import Specimen
from .workload import ask_patiently, submitted, weather, with_workers

_PERMITS: Final = 2
_WORKERS: Final = 4
_ITEMS: Final = 8


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


class _Mended(_Limiter):
    """Hands the permit over to the waiter, so that it is never free in between."""

    def take(self) -> None:
        pass

    def release(self) -> None:
        if self.waiters:
            self.waiters.popleft().set()
        else:
            self.free += 1


async def _work(tank: Tank, limiter: _Limiter, items: Iterator[str]) -> None:
    for item in items:
        await limiter.acquire()
        try:
            tank.ledger.complete(item, await ask_patiently(tank, item))
        finally:
            limiter.release()


async def _buggy(tank: Tank) -> None:
    tank.expect(in_flight=_PERMITS)
    await with_workers(_WORKERS, _work, tank, _Limiter(), iter(submitted(tank, _ITEMS)))


async def _twin(tank: Tank) -> None:
    tank.expect(in_flight=_PERMITS)
    await with_workers(_WORKERS, _work, tank, _Mended(), iter(submitted(tank, _ITEMS)))


SPECIMEN: Final = Specimen(
    name="limiter_over_grants",
    row="19",
    kind="C",
    story="A released permit wakes a waiter but is not kept for it. Before the waiter runs, somebody else "
    "takes the permit, and then the waiter takes it too: three requests fly at a limit of two.",
    seen="issue 1170 and pull request 1223 of anyio, mended in 4.15",
    buggy=_buggy,
    twin=_twin,
    scenario=weather(
        "one-short-wave", {"at": "300ms", "lasts": "500ms"}, latency={"first_token": "50ms..200ms"}
    ),
    check="in_flight_limit",
    failure="check",
    items=_ITEMS,
)
