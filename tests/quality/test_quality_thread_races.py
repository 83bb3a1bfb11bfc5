"""Races of threads between two operations that do not block: found, and only where there is one."""

from __future__ import annotations

import colorsys
import importlib
import queue
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import anyio
import openai
import pytest

import wavetank
from wavetank import Tank

from ..depth import by_turns, n_of

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
BACKENDS = ("asyncio", "trio", "threads")
"""The backends, and neither: a plain function."""

Program = Callable[[bool], None]


def in_threads(*works: Callable[[], object]) -> None:
    """Run each in a thread of its own, and raise the first error."""
    errors: list[Exception] = []

    def kept(work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=kept, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def locks_in_two_orders(correct: bool) -> None:
    a, b = threading.Lock(), threading.RLock()

    def one() -> None:
        with a, b:
            pass

    def two() -> None:
        first, second = (a, b) if correct else (b, a)
        with first, second:
            pass

    in_threads(one, two)


def lost_update(correct: bool) -> None:
    lock, total = threading.Lock(), [0]

    def work() -> None:
        if correct:
            with lock:
                total[0] += 1
        else:
            with lock:
                seen = total[0]
            with lock:
                total[0] = seen + 1

    in_threads(work, work, work)
    assert total == [3]


def looked_before_it_took(correct: bool) -> None:
    rows: queue.Queue[int] = queue.Queue()
    rows.put(1)
    taken: list[int] = []

    def work() -> None:
        if correct:
            try:
                taken.append(rows.get_nowait())
            except queue.Empty:
                return
        elif not rows.empty():
            taken.append(rows.get())

    in_threads(work, work)
    assert taken == [1]


def event_cleared_at_once(correct: bool) -> None:
    ready = threading.Event()

    def wake() -> None:
        ready.set()
        if not correct:
            ready.clear()

    in_threads(ready.wait, wake)


def started_before_its_value(correct: bool) -> None:
    box: dict[str, int] = {}
    thread = threading.Thread(target=lambda: box.update(got=box.get("value", 0)))
    if correct:
        box["value"] = 1
    thread.start()
    box["value"] = 1
    thread.join()
    assert box["got"] == 1


def woken_without_looking(correct: bool) -> None:
    arrived, rows = threading.Condition(), list[int]()

    def consume() -> None:
        with arrived:
            if correct:
                arrived.wait_for(lambda: rows)
            elif not rows:
                arrived.wait()
            rows.pop()

    def produce() -> None:
        for row in (1, 2):
            with arrived:
                rows.append(row)
                arrived.notify_all()

    in_threads(consume, consume, produce)


PROGRAMS = (
    locks_in_two_orders,
    lost_update,
    looked_before_it_took,
    event_cleared_at_once,
    started_before_its_value,
    woken_without_looking,
)


def in_a_thread(program: Program, correct: bool) -> Callable[[Tank], Awaitable[None]]:
    async def main(_: Tank) -> None:
        await anyio.to_thread.run_sync(program, correct)

    return main


def searched(program: Program, backend: str, *, correct: bool, **options: Any) -> wavetank.Result[None]:
    """A search of a program in a thread of a backend, or as a plain function."""
    if backend == "threads":
        return wavetank.search(lambda _: program(correct), **options)
    return wavetank.search(in_a_thread(program, correct), backend=backend, **options)


@by_turns(program=PROGRAMS, backend=BACKENDS)
def test_a_race_is_found_within_twenty_schedules(program: Program, backend: str) -> None:
    found = []
    for seed in range(n_of(3, 20)):
        result = searched(program, backend, correct=False, schedules=150, seed=seed)
        assert result.failure is not None
        found.append(result.schedules)
    assert median(found) <= 20, found


@by_turns(program=PROGRAMS, backend=BACKENDS)
def test_a_correct_program_is_not_blamed(program: Program, backend: str) -> None:
    schedules = n_of(80, 2000) if backend == "threads" else n_of(30, 600)
    assert searched(program, backend, correct=True, schedules=schedules).failure is None


@on_both
def test_a_race_repeats_and_names_the_threads(backend: str) -> None:
    main = in_a_thread(locks_in_two_orders, correct=False)
    failure = wavetank.search(main, schedules=150, backend=backend).failure
    assert failure is not None
    assert failure.kind == "deadlock"
    assert any("Thread-2 (kept)" in str(deviation) for deviation in failure.deviations)
    again = wavetank.simulate(main, backend=backend, schedule=failure.schedule)
    assert str(again.error) == str(failure.error)


@on_both
def test_no_thread_is_switched_in_fifo_order(backend: str) -> None:
    for program in (lost_update, locks_in_two_orders, looked_before_it_took):
        wavetank.simulate(in_a_thread(program, correct=False), backend=backend).check()


def in_executors(work: Callable[[int], object]) -> None:
    """Six items on four threads, each of which starts threads itself."""

    def nested(number: int) -> None:
        with ThreadPoolExecutor(2) as inner:
            list(inner.map(work, [number]))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(nested, range(6)))


@on_both
def test_what_holds_a_real_lock_is_not_switched(backend: str) -> None:
    """An answer function, an import, an executor's own lock: to wait for one would block for real."""

    def program(lock: threading.Lock) -> None:
        def ask(number: int) -> None:
            importlib.reload(colorsys)
            with lock:
                client = openai.OpenAI(api_key="key")
            client.chat.completions.create(
                model="gpt-4o-mini", messages=[{"role": "user", "content": f"Row {number}"}]
            )

        in_executors(ask)

    async def main(tank: Tank) -> None:
        lock = threading.Lock()

        def answer(_: object) -> str:
            with lock:
                return "An answer."

        tank.fake_llm.answer = answer
        await anyio.to_thread.run_sync(program, lock)

    assert wavetank.search(main, schedules=n_of(8, 15), backend=backend).failure is None
