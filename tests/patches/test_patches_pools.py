"""Pools and threads from before the run: the run gets workers of its own, and listens before it gives up."""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from asyncio import as_completed as early_as_completed
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Lock, RLock
from typing import Any

import anyio
import httpx2
import pytest

import wavetank
from wavetank.tank.hosted_world import Hosted


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """A pool with two idle workers from before the run."""
    with ThreadPoolExecutor(2, thread_name_prefix="old") as pool:
        barrier = threading.Barrier(2)
        list(pool.map(lambda _: barrier.wait(), range(2)))
        yield pool


def test_an_older_pool_works_in_the_runs_time(pool: ThreadPoolExecutor) -> None:
    """Three sleeps of 10 s on two workers take 20 s of virtual time, and none of the old workers' time."""

    def work(number: int) -> tuple[int, float, str]:
        time.sleep(10)
        return number, time.monotonic(), threading.current_thread().name.partition("_")[0]

    hosted = Hosted(wavetank.load_scenario("calm"), seed=0, replay="")
    with hosted.phase():
        done = list(pool.map(work, range(3)))
        hosted.close()
    assert done == [(0, 10, "old"), (1, 10, "old"), (2, 20, "old")]
    assert list(pool.map(lambda _: time.monotonic() > 0, range(2))) == [True, True]


def test_an_event_loop_may_hand_work_to_an_older_pool(pool: ThreadPoolExecutor) -> None:
    """`run_in_executor` with such a pool neither hangs nor lets a timeout fire early."""

    async def main(tank: wavetank.Tank) -> float:
        async with asyncio.timeout(30):
            await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 20)
        return tank.now()

    run = wavetank.simulate(main)
    run.check()
    assert run.value == 20


def test_a_loop_in_a_worker_thread_is_virtual_too() -> None:
    """`asyncio.run` inside `to_thread` sleeps in the run's time."""

    async def main(tank: wavetank.Tank) -> float:
        await asyncio.to_thread(asyncio.run, asyncio.sleep(60))
        return tank.now()

    run = wavetank.simulate(main)
    run.check()
    assert run.value == 60


def test_a_thread_from_before_the_run_is_listened_to() -> None:
    """A thread outside the run that still posts to the loop suspends the deadlock for a moment."""
    asked = threading.Event()
    posts: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def outside() -> None:
        asked.wait(20)
        loop, event = posts.pop()
        loop.call_soon_threadsafe(event.set)

    thread = threading.Thread(target=outside, name="outside")
    thread.start()

    async def main(_: wavetank.Tank) -> str:
        event = asyncio.Event()
        posts.append((asyncio.get_running_loop(), event))
        asked.set()
        await event.wait()
        return "heard"

    run = wavetank.simulate(main)
    thread.join()
    run.check()
    assert run.value == "heard"


def test_a_deadlock_beside_a_live_thread_names_it() -> None:
    """When nothing happens any more, the deadlock is reported, with the thread's name and the fix."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait, name="bystander")
    thread.start()
    try:

        async def main(_: wavetank.Tank) -> None:
            await asyncio.Event().wait()

        run = wavetank.simulate(main)
    finally:
        over.set()
        thread.join()
    assert run.kind == "deadlock"
    evidence = "\n".join(run.verdicts["liveness"].evidence)
    assert "thread 'bystander' is alive" in evidence
    assert 'llm_clock("real")' in evidence


def test_locks_and_queues_imported_by_name_take_turns_too() -> None:
    """A program that wrote `from threading import Lock` and `from queue import SimpleQueue` is not stuck."""
    made = Lock, RLock, SimpleQueue
    hosted = Hosted(wavetank.load_scenario("calm"), seed=0, replay="")
    with hosted.phase():
        locks = [Lock(), RLock()]
        fruit: SimpleQueue[int] = SimpleQueue()

        def hold(lock: Any) -> None:
            with lock:
                time.sleep(1)
            fruit.put(1)

        threads = [threading.Thread(target=hold, args=(lock,)) for lock in locks for _ in range(2)]
        for thread in threads:
            thread.start()
        assert [fruit.get(timeout=5) for _ in threads] == [1, 1, 1, 1]
        assert hosted.tank.now() == 2
        hosted.close()
    assert (Lock, RLock, SimpleQueue) == made
    assert SimpleQueue is queue.SimpleQueue


def test_a_pool_of_processes_is_refused() -> None:
    """What is submitted to one raises at once: nothing would ever tell virtual time of its work."""

    async def main(_: wavetank.Tank) -> None:
        from concurrent.futures import ProcessPoolExecutor

        with ProcessPoolExecutor(1) as processes:
            await asyncio.get_running_loop().run_in_executor(processes, abs, -1)

    error = wavetank.simulate(main).error
    assert isinstance(error, wavetank.RealInputOutput)
    assert str(error).startswith("ProcessPoolExecutor.submit() wants real input or output")
    assert "put a function or a thread in the place of the process" in str(error)


@pytest.mark.parametrize("cores", [1, 2, 64])
def test_a_pool_without_a_size_has_the_same_on_every_machine(
    monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    """Eight calls of a sync client through `asyncio.to_thread` meet a barrier of eight on one core, too."""
    for name in ("cpu_count", "process_cpu_count"):
        monkeypatch.setattr(os, name, lambda: cores, raising=False)

    def ask(item: str) -> int:
        body = {"model": "m", "messages": [{"role": "user", "content": item}]}
        headers = {"authorization": "Bearer k"}
        return httpx2.post(
            "https://api.openai.com/v1/chat/completions", json=body, headers=headers
        ).status_code

    async def main(_: wavetank.Tank) -> list[int]:
        return await asyncio.gather(*(asyncio.to_thread(ask, f"item {number}") for number in range(8)))

    run = wavetank.simulate(main, "simultaneous")
    run.check()
    assert run.value == [429] * 8
    with ThreadPoolExecutor() as after:
        assert vars(after)["_max_workers"] == min(32, cores + 4)


def test_a_pool_made_in_one_run_works_in_the_next_and_after() -> None:
    """Its workers end with the run that started them; it starts others where it is used again."""
    made: list[ThreadPoolExecutor] = []

    async def main(tank: wavetank.Tank) -> tuple[list[float], float]:
        if not made:
            made.append(ThreadPoolExecutor(2))
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(made[0], time.sleep, 10) for _ in range(4)))
        return list(made[0].map(lambda _: time.monotonic(), range(2))), tank.now()

    for _ in range(3):
        run = wavetank.simulate(main)
        run.check()
        assert run.value == ([20, 20], 20)
    with made[0] as pool:
        assert list(pool.map(abs, [-1, -2, -3])) == [1, 2, 3]
        again = wavetank.simulate(main)
        again.check()
        assert again.value == ([20, 20], 20)
        assert list(pool.map(abs, [-1, -2, -3])) == [1, 2, 3]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_deadlock_of_two_threads_is_reported(backend: str) -> None:
    """Threads that end as the run unwinds give back locks, and wake no thread that has ended as well."""

    async def main(_: wavetank.Tank) -> None:
        one, other = threading.Lock(), threading.Lock()

        def work(first: threading.Lock, second: threading.Lock) -> None:
            with first:
                time.sleep(0.01)
                with second:
                    pass

        def pool() -> None:
            with ThreadPoolExecutor(2) as workers:
                list(workers.map(work, (one, other), (other, one)))

        await anyio.to_thread.run_sync(pool)

    run = wavetank.simulate(main, backend=backend)
    assert run.kind == "deadlock"
    evidence = "\n".join(run.verdicts["liveness"].evidence)
    assert evidence.count("waits in a lock") == 2
    assert evidence.count("waits in Executor.map") == 1
    assert "ThreadPoolExecutor-1_1" in evidence


def test_as_completed_starts_coroutines_in_the_order_given() -> None:
    """Python puts them into a set, where their addresses decide; also under a name bound before."""

    async def main(_: wavetank.Tank) -> list[list[int]]:
        started: list[int] = []

        async def one(number: int) -> int:
            started.append(number)
            await asyncio.sleep(1)
            return number

        ended = [await first for first in early_as_completed([one(number) for number in range(40)])]
        again = one(40)
        same = asyncio.ensure_future(again)
        ended += [await each for each in asyncio.as_completed([same, same, one(41)], timeout=5)]
        with pytest.raises(TypeError):
            list(asyncio.as_completed(same))  # type: ignore[arg-type]
        return [started, ended]

    run = wavetank.simulate(main)
    run.check()
    assert run.value == [list(range(42))] * 2
