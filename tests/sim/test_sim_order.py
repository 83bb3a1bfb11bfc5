"""The same program takes the same course in every run and in every process, whatever the hash seed.

Run as `python -m tests.sim.test_sim_order`, the file prints the course of its programs.
"""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

import wavetank
from wavetank.patches.trio_hooks import trio_threads
from wavetank.patches.virtual import virtual_process
from wavetank.sim.asyncio_run import run_asyncio
from wavetank.sim.choices import LEVELS
from wavetank.sim.dice import dice
from wavetank.sim.policies.random import Uniform
from wavetank.sim.policies.random_choosers import SOMETIMES, DeviationRates, tail_after
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers
from wavetank.sim.trio_run import run_trio

from ..depth import DEEP, in_turn, n_of

Course = list[object]
Program = Callable[[Course], Coroutine[Any, Any, None]]


SEEDS = range(n_of(len(LEVELS), 20))


@contextmanager
def borrowed() -> Iterator[Scheduler]:
    """The process is borrowed once for all the runs in the block: that lasts longer than a short run."""
    scheduler = Scheduler(Timers())
    with virtual_process(scheduler), trio_threads(scheduler):
        yield scheduler


def course(program: Program, backend: str, seed: int | None = None) -> Course:
    """What `program` notes in one run, and how it ended; with a seed, in an order chosen at some level."""
    with borrowed() as scheduler:
        return course_on(scheduler, program, backend, seed)


def course_on(scheduler: Scheduler, program: Program, backend: str, seed: int | None) -> Course:
    """The same in a process that is borrowed already."""
    noted: Course = []
    timers = Timers()
    if seed is None:
        scheduler.renew(timers)
    else:
        mix = DeviationRates(stalls=SOMETIMES, provider=SOMETIMES)
        chooser = Uniform(dice(seed, "order"), mix, tail=tail_after(0))
        scheduler.renew(timers, chooser=chooser, level=LEVELS[seed % len(LEVELS)])
    engine = run_asyncio if backend == "asyncio" else run_trio
    try:
        end = engine(lambda: program(noted), scheduler, started=lambda _: None, ended=lambda _: None)
    finally:
        scheduler.close()
    return [*noted, end.how, end.steps, end.blocked, scheduler.timers.now()]


class Noted:
    """Hashes by its address, so that a set of these comes in another order in every process."""


async def scopes(noted: Course) -> None:
    """Nested groups under one deadline: each child notes when it is cancelled."""

    async def child(name: str, depth: int) -> None:
        try:
            if depth:
                async with anyio.create_task_group() as group:
                    for number in range(3):
                        group.start_soon(child, f"{name}.{number}", depth - 1)
            await anyio.sleep_forever()
        finally:
            noted.append((name, anyio.current_time()))

    garbage = {Noted() for _ in range(100)}
    with anyio.move_on_after(3):
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(child, str(number), number % 3)
    noted.append(len(garbage))


async def failing_group(noted: Course) -> None:
    """Thirty children of which one fails while the others wait, each with a clean-up that waits again."""

    async def child(number: int) -> None:
        try:
            await anyio.sleep(5 if number == 17 else 1000)
            raise ValueError(number)
        except ValueError:
            raise
        finally:
            noted.append(number)
            with anyio.CancelScope(shield=True):
                await anyio.sleep(number % 4)
            noted.append((number, anyio.current_time()))

    try:
        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(child, number)
    except* ValueError as errors:
        noted.append(str(errors.exceptions))


async def locks(noted: Course) -> None:
    """Workers that contend for a lock, a semaphore, a limiter and a stream at the same instants."""
    lock, permits, limiter = anyio.Lock(), anyio.Semaphore(2), anyio.CapacityLimiter(3)
    send, receive = anyio.create_memory_object_stream[int](1)

    async def worker(number: int) -> None:
        async with limiter, permits:
            await anyio.sleep(1)
            async with lock:
                noted.append((number, anyio.current_time()))
            await send.send(number)

    async def reader() -> None:
        for _ in range(12):
            noted.append(("read", await receive.receive()))
            await anyio.sleep(0.5)

    async with send, receive, anyio.create_task_group() as group:
        group.start_soon(reader)
        for number in range(12):
            group.start_soon(worker, number)


async def threads(noted: Course) -> None:
    """Worker threads of the backend, and an executor whose futures are looked at as sets."""

    def work(number: int) -> int:
        time.sleep(number % 3)
        noted.append((number, time.monotonic(), threading.current_thread().name.split(" ")[0]))
        return number

    def pool() -> None:
        with cf.ThreadPoolExecutor(4) as executor:
            futures = [executor.submit(work, number) for number in range(12)]
            time.sleep(2.5)
            noted.append([future.result() for future in cf.as_completed(futures)])
            noted.append([future.result() for future in cf.wait(futures).done])

    async with anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(anyio.to_thread.run_sync, work, number)
    await anyio.to_thread.run_sync(pool)


async def blocked(noted: Course) -> None:
    """A deadlock across tasks and threads of a pool: its report is part of the course."""
    lock = anyio.Lock()

    async def wants() -> None:
        async with lock:
            await anyio.sleep_forever()

    def pool() -> None:
        with cf.ThreadPoolExecutor(5) as executor:
            for _ in range(5):
                executor.submit(threading.Event().wait)

    async with anyio.create_task_group() as group:
        for number in range(5):
            group.start_soon(wants, name=f"wants {number}")
        group.start_soon(anyio.to_thread.run_sync, pool)
        noted.append("started")


async def stock_sets(noted: Course) -> None:
    """Sets of tasks as asyncio hands them out, a task group that aborts, and tasks left to the end."""

    async def child(number: int) -> None:
        try:
            await asyncio.sleep(number % 5)
            if number == 13:
                raise ValueError
            await asyncio.sleep(100)
        finally:
            noted.append((number, asyncio.get_running_loop().time()))

    tasks = {asyncio.create_task(asyncio.sleep(number % 4, number)) for number in range(25)}
    while tasks:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        noted.append([task.result() for task in done])
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(child(number))
    except* ValueError:
        noted.append("aborted")
    noted.append([task.get_name() for task in asyncio.all_tasks()])
    left = {asyncio.create_task(child(number)) for number in range(20, 40)}
    await asyncio.sleep(0.5)
    noted.append(len(left))


BOTH: tuple[Program, ...] = (scopes, failing_group, locks, threads, blocked)
COURSES = [(program, backend) for program in BOTH for backend in ("asyncio", "trio")]
COURSES.append((stock_sets, "asyncio"))


@pytest.mark.parametrize(("program", "backend"), COURSES)
def test_every_run_takes_the_same_course(program: Program, backend: str) -> None:
    """Runs in one process note the same things in the same order and take as many steps."""
    first = course(program, backend)
    assert len(first) > 4
    kept = []
    for _ in range(n_of(2, 8)):
        with borrowed() as scheduler:
            for _ in range(5):
                kept.append([Noted() for _ in range(7)])
                assert course_on(scheduler, program, backend, None) == first


@pytest.mark.parametrize(("program", "backend"), COURSES)
def test_a_chosen_order_is_taken_again(program: Program, backend: str) -> None:
    """Of each seed two runs take one course, at whatever level; and the seeds differ."""
    seen = []
    with borrowed() as scheduler:
        for seed in SEEDS:
            first = course_on(scheduler, program, backend, seed)
            kept = [Noted() for _ in range(7)]
            assert course_on(scheduler, program, backend, seed) == first, kept
            seen.append(repr(first))
    assert len(set(seen)) > 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_children_are_cancelled_in_creation_order(backend: str) -> None:
    """Structured cancellation reaches children in the order they were started."""
    noted = course(failing_group, backend)
    firsts = [entry for entry in noted if isinstance(entry, int) and entry < 30]
    assert firsts[:30] == [17, *(number for number in range(30) if number != 17)]


def all_courses() -> str:
    """Outside the deep tests a course has every second of the seeds: those are for orders, not for hashes."""
    with borrowed() as scheduler:
        return "\n".join(
            repr(course_on(scheduler, program, backend, seed))
            for place, (program, backend) in enumerate(COURSES)
            for seed in (None, *(SEEDS if DEEP else SEEDS[place % 2 :: 2]))
        )


def test_every_process_takes_the_same_course() -> None:
    """Processes with other hash seeds than this one, and other addresses, take its course."""
    environment = {**os.environ, "PYTHONPATH": str(Path(wavetank.__file__).parents[1])}
    expected = all_courses()
    for seed in in_turn(1, ("0", "12345")):
        done = subprocess.run(
            [sys.executable, "-m", "tests.sim.test_sim_order"],
            cwd=Path(__file__).parents[2],
            env={**environment, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == expected


if __name__ == "__main__":
    print(all_courses())
