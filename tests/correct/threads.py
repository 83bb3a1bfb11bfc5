"""Correct plain programs with threads and retries, which a search may switch and interrupt anywhere.

Each is `def main(tank)`. After Ctrl-C a row may be left without an outcome, and no lock is held for ever.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Final

import openai

from wavetank import Tank

ROWS: Final = [f"row-{number}" for number in range(6)]
ATTEMPTS: Final = 9


def client() -> openai.OpenAI:
    return openai.OpenAI(api_key="key", max_retries=0)


def ask(sdk: openai.OpenAI, row: str) -> str:
    answer = sdk.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": f"Do {row}."}],
        extra_headers={"x-wavetank-item": row},
    )
    return str(answer.choices[0].message.content)


def patiently(
    tank: Tank, sdk: openai.OpenAI, row: str, stop: Callable[[float], object] | None = None
) -> None:
    """Try until there is an answer; after many attempts the row is reported as failed."""
    error: Exception | None = None
    for number in range(ATTEMPTS):
        try:
            text = ask(sdk, row)
        except openai.OpenAIError as wrong:
            error = wrong
            (stop or time.sleep)(min(60, 2**number))
        else:
            tank.ledger.complete(row, text)
            return
    tank.ledger.fail(row, error)


def maps_over_a_pool(tank: Tank) -> None:
    """A pool as a context manager, which waits for all that was submitted."""
    sdk = client()
    for row in ROWS:
        tank.ledger.submit(row)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda row: patiently(tank, sdk, row), ROWS))


def feeds_a_queue(tank: Tank) -> None:
    """Workers take rows from a bounded queue until a sentinel comes, one for each of them.

    They are daemons: when Ctrl-C strikes while the sentinels are put, Python does not wait for them.
    """
    sdk, rows = client(), queue.Queue[str | None](maxsize=2)

    def work() -> None:
        while (row := rows.get()) is not None:
            patiently(tank, sdk, row)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for row in ROWS:
            tank.ledger.submit(row)
            rows.put(row)
    finally:
        for _ in threads:
            rows.put(None)
        for thread in threads:
            thread.join()


def shares_a_gate(tank: Tank) -> None:
    """The first refusal closes a gate for all, and the last one that closed it opens it again."""
    sdk, changed = client(), threading.Condition()
    closed_until = [0.0]

    def pause(seconds: float) -> None:
        with changed:
            closed_until[0] = max(closed_until[0], time.monotonic() + seconds)
            while (left := closed_until[0] - time.monotonic()) > 0:
                changed.wait(left)
            changed.notify_all()

    for row in ROWS:
        tank.ledger.submit(row)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda row: patiently(tank, sdk, row, pause), ROWS))


def counts_permits(tank: Tank) -> None:
    """A semaphore and a count under a lock; both are given back whatever happens."""
    sdk, permits, lock = client(), threading.Semaphore(2), threading.Lock()
    under_way = [0]
    tank.watch("under way", lambda: under_way[0])

    @contextmanager
    def permit() -> Any:
        with permits:
            with lock:
                under_way[0] += 1
            try:
                assert under_way[0] <= 2
                yield
            finally:
                with lock:
                    under_way[0] -= 1

    def work(row: str) -> None:
        with permit():
            patiently(tank, sdk, row)

    for row in ROWS:
        tank.ledger.submit(row)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, ROWS))


def takes_results_as_they_come(tank: Tank) -> None:
    """Futures are waited for with a time-out, and only the main thread reports."""
    sdk = client()

    def attempt(row: str) -> str:
        for number in range(ATTEMPTS):
            try:
                return ask(sdk, row)
            except openai.OpenAIError:
                if number == ATTEMPTS - 1:
                    raise
                time.sleep(min(60, 2**number))
        raise AssertionError

    with ThreadPoolExecutor(3) as pool:
        rows = {}
        for row in ROWS:
            tank.ledger.submit(row)
            rows[pool.submit(attempt, row)] = row
        while rows:
            done, _ = wait(rows, timeout=0.5, return_when=FIRST_COMPLETED)
            for future in done:
                row = rows.pop(future)
                if (error := future.exception()) is not None:
                    tank.ledger.fail(row, error)
                else:
                    tank.ledger.complete(row, future.result())


PROGRAMS: Final = (
    maps_over_a_pool,
    feeds_a_queue,
    shares_a_gate,
    counts_permits,
    takes_results_as_they_come,
)
