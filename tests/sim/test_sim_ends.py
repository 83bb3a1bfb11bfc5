"""How runs end that do not return: deadlocks, budgets, and what they leave behind, which is nothing."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import trio

from wavetank.clock import HOUR, SECOND
from wavetank.patches.trio_hooks import trio_threads
from wavetank.patches.virtual import virtual_process
from wavetank.sim.asyncio_loop import SimulatedLoop
from wavetank.sim.asyncio_run import run_asyncio
from wavetank.sim.ended import Ended
from wavetank.sim.errors import Deadlock, StepBudgetSpent, TimeBudgetSpent
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers
from wavetank.sim.trio_parts import creation_order
from wavetank.sim.trio_run import PassDriver, TrioEngine, run_trio

from ..depth import n_of

Main = Callable[[], Coroutine[Any, Any, Any]]

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@contextmanager
def process(scheduler: Scheduler) -> Iterator[None]:
    """What a run borrows, for both backends."""
    with ExitStack() as stack:
        stack.enter_context(virtual_process(scheduler))
        stack.enter_context(trio_threads(scheduler))
        try:
            yield
        finally:
            scheduler.close()


def run(main: Main, backend: str, *, limit: int | None = None) -> tuple[Ended, Scheduler]:
    """Run `main` to its end on `backend`."""
    scheduler = Scheduler(Timers(limit=limit))
    engine = run_asyncio if backend == "asyncio" else run_trio
    with process(scheduler):
        return engine(main, scheduler, started=lambda _: None, ended=lambda _: None), scheduler


def paragraphs(main: Main, backend: str) -> dict[str, list[str]]:
    """What a deadlock tells, by the name of the task or thread."""
    end, _ = run(main, backend)
    assert end.how == "deadlock"
    told = [paragraph.splitlines() for paragraph in end.blocked]
    return {lines[0].split("'")[1].rpartition(".")[2]: [line.strip() for line in lines] for lines in told}


def places(lines: list[str]) -> list[str]:
    """Where a chain goes through, without line numbers."""
    return [line.partition(" (")[0] for line in lines if line.startswith("at ")]


class Gate:
    """Something of the program, whose attributes a report names."""

    def __init__(self) -> None:
        self._resume = anyio.Event()
        self.lock = anyio.Lock()

    async def entered(self) -> None:
        await self._resume.wait()

    async def wanted(self) -> None:
        async with self.lock:
            pytest.fail("the lock is never free")

    async def held(self) -> None:
        async with self.lock:
            await self.entered()


# -- deadlocks --------------------------------------------------------------------------------------


def test_a_deadlock_is_reported_at_once(backend: str) -> None:
    """A run in which nothing can happen ends at the instant it came to that, in a few steps."""

    async def main() -> None:
        await anyio.sleep(3)
        await anyio.Event().wait()

    end, scheduler = run(main, backend)
    assert end.how == "deadlock"
    assert end.steps < 20
    assert scheduler.timers.now() == 3 * SECOND
    assert isinstance(scheduler.stopped_by, Deadlock)
    assert scheduler.stopped_by.headline == (
        "deadlock at 3s: nothing can run, no timer is set, 1 task(s) and 0 thread(s) blocked"
    )
    assert scheduler.stopped_by.blocked == end.blocked


def test_each_blocked_task_is_reported_with_its_chain(backend: str) -> None:
    """A report names every task, where it waits, on what by its name in the program, and who holds that."""

    async def main() -> None:
        gate = Gate()
        async with anyio.create_task_group() as group:
            group.start_soon(gate.held, name="holder")
            group.start_soon(gate.wanted, name="wants")

    told = paragraphs(main, backend)
    assert list(told) == ["main", "holder", "wants"]
    assert places(told["main"]) == [
        "at test_each_blocked_task_is_reported_with_its_chain.<locals>.main",
    ]
    assert told["main"][-1] == "waits in TaskGroup.__aexit__ on group: TaskGroup"
    assert places(told["holder"]) == ["at Gate.held", "at Gate.entered"]
    assert told["holder"][-1] == "waits in Event.wait on Gate._resume: Event [tasks_waiting=1]"
    assert places(told["wants"]) == ["at Gate.wanted"]
    assert told["wants"][-1].startswith("waits in Lock.__aenter__ on Gate.lock: Lock [tasks_waiting=1]")
    assert told["wants"][-1].endswith("held by 'holder'")


def test_a_stream_is_reported_with_its_buffer(backend: str) -> None:
    """A task that waits on a memory stream shows how full it is and who could still use it."""

    async def main() -> None:
        send, receive = anyio.create_memory_object_stream[int](2)
        async with receive, anyio.create_task_group() as group:

            async def producer() -> None:
                async with send:
                    for number in range(9):
                        await send.send(number)

            group.start_soon(producer, name="producer")

    told = paragraphs(main, backend)["producer"]
    assert "on send: MemoryObjectSendStream" in told[-1]
    assert "current_buffer_used=2, max_buffer_size=2" in told[-1]
    assert "open_receive_streams=1" in told[-1]


def test_an_async_generator_is_part_of_the_chain(backend: str) -> None:
    """The chain goes through a generator that is being iterated."""

    async def main() -> None:
        async def answers() -> Any:
            yield 1
            await anyio.Event().wait()

        async for _ in answers():
            pass

    told = paragraphs(main, backend)["main"]
    assert [place.rpartition(".")[2] for place in places(told)] == ["main", "answers"]


def test_threads_are_part_of_a_deadlock(backend: str) -> None:
    """A deadlock across tasks and threads tells of both."""

    async def main() -> None:
        def work() -> None:
            threading.Event().wait()

        await anyio.to_thread.run_sync(work)

    end, scheduler = run(main, backend)
    assert end.how == "deadlock"
    assert isinstance(scheduler.stopped_by, Deadlock)
    assert "1 task(s) and 1 thread(s) blocked" in scheduler.stopped_by.headline
    assert "thread " in end.blocked[-1]
    assert "<locals>.work" in end.blocked[-1]
    assert end.blocked[-1].endswith("waits in Event.wait")


def test_a_clean_up_that_blocks_for_ever_is_a_deadlock(backend: str) -> None:
    """A task that joins a thread on its way out, as asyncio's executor does, has its deadlock told."""

    async def main() -> None:
        thread = threading.Thread(target=threading.Event().wait)
        thread.start()
        try:
            await anyio.Event().wait()
        finally:
            thread.join()

    assert run(main, backend)[0].how == "deadlock"
    if backend == "asyncio":
        assert run(lambda: asyncio.to_thread(threading.Event().wait), backend)[0].how == "deadlock"


def test_a_timer_far_away_is_no_deadlock(backend: str) -> None:
    """As long as a timer is set, time goes there."""

    async def main() -> str:
        event = anyio.Event()
        async with anyio.create_task_group() as group:

            async def setter() -> None:
                await anyio.sleep(86_400)
                event.set()

            group.start_soon(setter)
            await event.wait()
        return "woken"

    end, scheduler = run(main, backend)
    assert end.value == "woken"
    assert scheduler.timers.now() == 24 * HOUR


def test_a_clean_up_after_a_deadlock_may_take_time(backend: str) -> None:
    """Tasks of a run that is stopped unwind in virtual time."""
    seen: list[float] = []

    async def main() -> None:
        try:
            await anyio.Event().wait()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(5)
                seen.append(anyio.current_time())

    end, _ = run(main, backend)
    assert end.how == "deadlock"
    assert seen == [5.0]


# -- budgets ------------------------------------------------------------------------------------------


def test_the_time_budget_ends_a_run(backend: str) -> None:
    """No step runs later than the budget of virtual time allows."""
    seen: list[float] = []

    async def main() -> None:
        while True:
            await anyio.sleep(7)
            seen.append(anyio.current_time())

    end, scheduler = run(main, backend, limit=30 * SECOND)
    assert end.how == "time"
    assert seen == [7.0, 14.0, 21.0, 28.0]
    assert isinstance(scheduler.stopped_by, TimeBudgetSpent)
    assert str(scheduler.stopped_by) == "the run went past 30s of virtual time"


def test_the_last_instant_of_the_budget_counts(backend: str) -> None:
    """What is due exactly at the end of the budget still happens."""

    async def main() -> str:
        await anyio.sleep(30)
        return "in time"

    end, _ = run(main, backend, limit=30 * SECOND)
    assert end.value == "in time"


def swallowing(kind: type[BaseException]) -> Main:
    """A program that blocks for too long and swallows what it is told about that."""

    async def main() -> str:
        with suppress(kind):
            time.sleep(1e6)
        return "returned"

    return main


@pytest.mark.parametrize("kind", [ArithmeticError, Exception, BaseException])
def test_a_budget_spent_in_a_blocking_call(backend: str, kind: type[BaseException]) -> None:
    """A run stopped inside a blocking call counts as stopped, whatever the program makes of it."""
    end, scheduler = run(swallowing(kind), backend, limit=HOUR)
    assert end.how == "time"
    assert end.value is None
    assert isinstance(scheduler.stopped_by, TimeBudgetSpent)


def test_a_budget_spent_in_a_group_of_tasks(backend: str) -> None:
    """The same holds if a task group wraps it."""

    async def blocks() -> None:
        time.sleep(1e6)

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(blocks)
            group.start_soon(anyio.sleep, 5)

    end, _ = run(main, backend, limit=HOUR)
    assert end.how == "time"


def test_a_retry_loop_that_never_gives_up_is_stopped(backend: str) -> None:
    """A blocking client that retries whatever fails does not outlive its budget."""
    attempts: list[float] = []

    async def main() -> None:
        while True:
            try:
                attempts.append(time.monotonic())
                time.sleep(600)
                raise ConnectionError
            except Exception:
                continue

    end, _ = run(main, backend, limit=HOUR)
    assert end.how == "time"
    assert attempts == [600.0 * n for n in range(7)]


def test_a_blocking_wait_for_nobody(backend: str) -> None:
    """A coroutine that blocks its own thread for ever is a deadlock that names the place."""

    async def main() -> None:
        threading.Event().wait()

    end, _ = run(main, backend)
    assert end.how == "deadlock"
    assert "thread 'main'" in end.blocked[-1]
    assert "test_a_blocking_wait_for_nobody.<locals>.main" in end.blocked[-1]


async def spin() -> None:
    while True:
        await anyio.sleep(0)


@contextmanager
def bounded(main: Main, backend: str, *, step_budget: int) -> Iterator[tuple[Callable[[], Any], Any]]:
    """A way to run `main` with another step budget, and its engine."""
    scheduler = Scheduler(Timers())
    if backend == "asyncio":
        loop = scheduler.engine = SimulatedLoop(scheduler, step_budget=step_budget)
        yield lambda: loop.run_until_complete(main()), loop
        loop.drain()
        loop.close()
        return
    engine = scheduler.engine = TrioEngine(scheduler, step_budget=step_budget)
    passes = PassDriver(engine, main, ())

    def go() -> None:
        while passes.go():
            pass

    with creation_order():
        yield go, engine
        engine.dispose()


def test_the_step_budget_ends_a_run(backend: str) -> None:
    """A program that spins is stopped when its steps are spent."""
    with bounded(spin, backend, step_budget=200) as (go, engine):
        with pytest.raises(StepBudgetSpent, match="200 steps without an outcome, at 0s of virtual time"):
            go()
        assert 200 <= engine.steps <= 201


def test_progress_renews_the_budget(backend: str) -> None:
    """Each outcome gives the program the whole budget again."""

    async def busy() -> None:
        for _ in range(10):
            for _ in range(150):
                await anyio.sleep(0)
            engine.progress()

    with bounded(busy, backend, step_budget=200) as (go, engine):
        go()
        assert engine.steps >= 1500


# -- what is left ---------------------------------------------------------------------------------------


KINDS = (Scheduler, SimulatedLoop, TrioEngine, Timers, asyncio.Task, trio.lowlevel.Task, threading.Thread)


def alive() -> dict[str, int]:
    """How many of each kind of thing the process holds."""
    gc.collect()
    kept = [type(thing) for thing in gc.get_objects()]
    return {kind.__name__: sum(issubclass(one, kind) for one in kept) for kind in KINDS}


def more_than(before: dict[str, int]) -> dict[str, tuple[int, int]]:
    """The kinds of which there are more than before; what earlier tests left may well be gone by now."""
    return {kind: (before[kind], count) for kind, count in alive().items() if count > before[kind]}


def of_the_runs() -> list[threading.Thread]:
    """The live threads but for those that trio keeps from runs in real time."""
    return [thread for thread in threading.enumerate() if not thread.name.startswith("Trio thread")]


async def in_a_thread(work: Callable[[], object]) -> None:
    await anyio.to_thread.run_sync(work)


def test_deadlocked_runs_leave_nothing_behind(backend: str) -> None:
    """Deadlocks with tasks, threads and left-over timers do not add up to anything."""

    async def main() -> None:
        gate = Gate()
        async with anyio.create_task_group() as group:
            group.start_soon(gate.held)
            group.start_soon(gate.wanted)
            group.start_soon(in_a_thread, lambda: threading.Event().wait())
            group.start_soon(in_a_thread, lambda: anyio.from_thread.run(gate.entered))
            with anyio.move_on_after(1000):
                await anyio.sleep(1)

    run(main, backend)
    before, threads = alive(), of_the_runs()
    for _ in range(n_of(8, 80)):
        assert run(main, backend)[0].how == "deadlock"
    assert not more_than(before)
    assert set(of_the_runs()) <= set(threads)


_CATCHES_ALL = """
import anyio, wavetank, wavetank.sim.trio_run

async def for_ever(wait):
    while True:
        try:
            await wait()
        except BaseException:
            pass

async def sleep_a_second():
    with anyio.fail_after(10):
        await anyio.sleep(1)

async def main(tank):
    async with anyio.create_task_group() as group:
        for wait in (waits, waits):
            group.start_soon(for_ever, wait)

wavetank.sim.trio_run._STEPS_TO_UNWIND = 1_000  # a tenth
for backend in ("asyncio", "trio"):
    for waits in (anyio.Event().wait, sleep_a_second):
        print(backend, wavetank.simulate(main, backend=backend, max_virtual_seconds=10).kind)
"""


@cache
def what_catching_all_says() -> tuple[list[str], str]:
    """The lines that a process prints which runs such tasks on both backends, and its errors."""
    command = (sys.executable, "-W", "error", "-c", _CATCHES_ALL)
    told = subprocess.run(command, timeout=600, capture_output=True, text=True, check=True)
    return told.stdout.splitlines(), told.stderr


def test_tasks_that_catch_everything_for_ever_do_not_hold_up_the_process(backend: str) -> None:
    """A task in a `while True` with a bare `except` is told of and dropped, and Python can end."""
    lines, errors = what_catching_all_says()
    assert [line for line in lines if backend in line] == [f"{backend} deadlock", f"{backend} overrun"]
    assert errors == ""


@pytest.mark.usefixtures("soon_dropped")
def test_a_stubborn_task_does_not_outlive_its_run(backend: str) -> None:
    """A task that swallows its cancellation for ever is dropped with its run."""

    async def stubborn() -> None:
        while True:
            with suppress(asyncio.CancelledError, trio.Cancelled):
                await anyio.lowlevel.checkpoint()
                await anyio.Event().wait()

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(stubborn)

    run(main, backend)
    before = alive()
    assert run(main, backend)[0].how == "deadlock"
    assert not more_than(before)
    assert run(lambda: anyio.sleep(1), backend)[0].how == "returned"
