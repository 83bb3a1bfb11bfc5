"""A store and its log take each other's locks, in two orders."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from ..tank.tank import Tank
from .plain_http import ask_plainly
from .specimen import specimen
from .workload import scenario_of


class _Store:
    """Results under one lock, and lines of a log under another one."""

    def __init__(self) -> None:
        self.lock, self.log_lock = threading.RLock(), threading.RLock()
        self.results: dict[str, str] = {}
        self.lines: list[str] = []

    def save(self, item: str, text: str) -> None:
        with self.lock:
            self.results[item] = text
            self.log(f"{item} is saved")

    def log(self, line: str) -> None:
        with self.log_lock:
            self.lines.append(line)

    def log_progress(self) -> None:
        with self.log_lock:
            self.log(f"{self.count()} items are saved")

    def count(self) -> int:
        with self.lock:
            return len(self.results)


class _FixedStore(_Store):
    def log_progress(self) -> None:
        count = self.count()  # before the lock of the log is taken, as everywhere
        self.log(f"{count} items are saved")


def _run(tank: Tank, items: list[str], new_store: type[_Store]) -> None:
    store = new_store()

    def work(item: str) -> None:
        text = ask_plainly(tank, item)
        store.save(item, text)
        store.log_progress()
        tank.ledger.complete(item, text)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, items))


SPECIMEN: Final = specimen(
    name="locks_in_two_orders",
    row="35",
    kind="H",
    story="Whoever saves a result holds the lock of the store and takes that of the log. A line on the "
    "progress is formatted under the lock of the log, and asks the store for its count. Two threads that "
    "do both at once wait for each other for ever.",
    seen="issue 1500 of blivet",
    run=_run,
    variants=(_Store, _FixedStore),
    scenario=scenario_of("slow-answers", latency={"first_token": "70ms"}),
    check="liveness",
    failure="deadlock",
    items=4,
    backends=("threads",),
)
