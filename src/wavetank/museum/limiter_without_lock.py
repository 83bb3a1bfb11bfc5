"""A limiter for threads looks at its budget under the lock, and takes from it after that."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ..tank.tank import Tank
from .plain_http import ask_plainly
from .specimen import specimen
from .workload import scenario_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIMIT: Final = 2


class _Limiter:
    """Lets so many requests be under way at once; the others wait until one is over."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.under_way = 0

    def take(self) -> None:
        with self.changed:
            while self.under_way >= _LIMIT:
                self.changed.wait()
        with self.changed:
            self.under_way += 1

    @contextmanager
    def turn(self) -> Iterator[None]:
        self.take()
        try:
            yield
        finally:
            with self.changed:
                self.under_way -= 1
                self.changed.notify()


class _FixedLimiter(_Limiter):
    def take(self) -> None:
        with self.changed:
            while self.under_way >= _LIMIT:
                self.changed.wait()
            self.under_way += 1


def _run(tank: Tank, items: list[str], new_limiter: type[_Limiter]) -> None:
    limiter = new_limiter()

    def work(item: str) -> None:
        with limiter.turn():
            tank.ledger.complete(item, ask_plainly(tank, item))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, items))


SPECIMEN: Final = specimen(
    name="limiter_without_lock",
    row="34",
    kind="S",
    story="A limiter that threads share looks under its lock whether there is room, and counts itself only "
    "after it has released the lock. Two threads see the same free place, and more requests are under way "
    "than the limit allows.",
    seen="issue 1534 of PraisonAI and pull request 16857 of dd-trace-py",
    run=_run,
    variants=(_Limiter, _FixedLimiter),
    scenario=scenario_of("slow-answers", latency={"first_token": "70ms..100ms"}),
    expect={"in_flight": _LIMIT},
    check="in_flight_limit",
    failure="check",
    items=6,
    backends=("threads",),
)
