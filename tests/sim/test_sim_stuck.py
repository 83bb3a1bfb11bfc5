"""What is told of blocked tasks: who holds what they wait for, who can reach it, who can never go on."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
import trio

from wavetank.clock import HOUR, SECOND
from wavetank.patches.trio_hooks import trio_threads
from wavetank.patches.virtual import virtual_process
from wavetank.sim.asyncio_run import run_asyncio
from wavetank.sim.blocked_tasks import NEVER, OUT_OF_REACH
from wavetank.sim.ended import Ended
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers
from wavetank.sim.trio_run import run_trio

Main = Callable[[], Coroutine[Any, Any, Any]]
both = pytest.mark.parametrize("backend", ["asyncio", "trio"])

KEPT: list[Any] = []
"""Things that the whole module can reach."""


def run(
    main: Main, backend: str = "asyncio", *, limit: int = 30 * SECOND, steps: int = 10**6
) -> tuple[Ended, Scheduler]:
    """Run `main` to its end on `backend`, within so much virtual time."""
    timers = Timers(limit=limit)
    scheduler = Scheduler(timers)
    scheduler.renew(timers, step_budget=steps)
    engine = run_asyncio if backend == "asyncio" else run_trio
    with virtual_process(scheduler), trio_threads(scheduler):
        try:
            return engine(main, scheduler, started=lambda _: None, ended=lambda _: None), scheduler
        finally:
            scheduler.close()


def told(end: Ended) -> dict[str, list[str]]:
    """The lines of each paragraph by the last part of the task's name."""
    lines = [paragraph.splitlines() for paragraph in end.blocked]
    return {one[0].split("'")[1].rpartition(".")[2]: [line.strip() for line in one[1:]] for one in lines}


def lost(end: Ended) -> list[str]:
    """The tasks of which it is told that nobody can wake them."""
    return [name for name, lines in told(end).items() if OUT_OF_REACH in lines]


async def together(*bodies: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Run these side by side, under their own names."""
    async with anyio.create_task_group() as group:
        for body in bodies:
            group.start_soon(body, name=body.__name__)


async def ticker() -> None:
    while True:
        await anyio.sleep(1)


class Gate:
    """Lets its waiters down: the event that they wait for is replaced and never set."""

    def __init__(self) -> None:
        self._resume = anyio.Event()

    async def passed(self) -> None:
        await self._resume.wait()

    def replace(self) -> None:
        self._resume = anyio.Event()


# -- what is waited for ------------------------------------------------------------------------------


def line_of(body: Callable[[], Coroutine[Any, Any, object]], backend: str = "asyncio") -> str:
    """The line that tells what `body` waits for."""
    end, _ = run(lambda: together(body), backend)
    assert end.how == "deadlock"
    return next(line for line in told(end)[body.__name__] if line.startswith("wait"))


def test_a_full_queue_of_asyncio_is_reported_as_full() -> None:
    """A bounded queue shows how many places it has and that all are taken."""
    queue: asyncio.Queue[int] = asyncio.Queue(10)

    async def producer() -> None:
        for number in range(11):
            await queue.put(number)

    assert line_of(producer) == "waits in Queue.put on queue: Queue full 10/10"


def test_an_empty_queue_of_asyncio_is_reported_as_empty() -> None:
    """So does an empty one, with and without a bound."""
    bounded: asyncio.Queue[int] = asyncio.Queue(3)
    endless: asyncio.Queue[int] = asyncio.Queue()

    async def one() -> None:
        await bounded.get()

    async def other() -> None:
        await endless.get()

    assert line_of(one) == "waits in Queue.get on bounded: Queue empty 0/3"
    assert line_of(other) == "waits in Queue.get on endless: Queue empty 0"


def test_primitives_of_asyncio_are_reported_by_name() -> None:
    """Event, condition, barrier, future, task and gather each have their words."""

    async def event() -> None:
        flag = asyncio.Event()
        await flag.wait()

    async def condition() -> None:
        changed = asyncio.Condition()
        async with changed:
            await changed.wait()

    async def barrier() -> None:
        party = asyncio.Barrier(3)
        await party.wait()

    async def future() -> None:
        answer = asyncio.get_running_loop().create_future()
        await answer

    async def task() -> None:
        await asyncio.create_task(event(), name="job")

    async def gather() -> None:
        await asyncio.gather(*(asyncio.create_task(event(), name=name) for name in "ab"))

    async def group() -> None:
        async with asyncio.TaskGroup() as jobs:
            jobs.create_task(event())

    assert line_of(event) == "waits in Event.wait on flag: Event"
    assert line_of(condition) == "waits in Condition.wait on changed: Condition"
    assert line_of(barrier) == "waits in Barrier.wait on party: Barrier 1/3"
    assert line_of(future) == "waits for answer: Future"
    assert line_of(task) == "waits for task 'job'"
    assert line_of(gather) == "waits for all of task 'a', task 'b'"
    assert line_of(group) == "waits in TaskGroup.__aexit__ on jobs: TaskGroup"


@both
def test_a_capacity_limiter_names_its_borrowers(backend: str) -> None:
    """A limiter that is used up shows who has borrowed from it."""

    async def main() -> None:
        limiter = anyio.CapacityLimiter(2)

        async def first() -> None:
            async with limiter:
                await anyio.sleep_forever()

        async def second() -> None:
            async with limiter:
                await anyio.sleep_forever()

        async def third() -> None:
            async with limiter:
                pytest.fail("the limiter is used up")

        await together(first, second, third)

    end, _ = run(main, backend)
    line = told(end)["third"][-1]
    assert "on limiter: CapacityLimiter 2/2 borrowed" in line
    assert line.endswith("borrowed by 'first', 'second'")


@both
def test_a_memory_stream_says_how_full_it_is(backend: str) -> None:
    """The fill of the buffer is told in the same words as that of a queue."""

    async def main() -> None:
        send, receive = anyio.create_memory_object_stream[int](10)

        async def producer() -> None:
            for number in range(11):
                await send.send(number)

        async with send, receive:
            await together(producer)

    end, _ = run(main, backend)
    assert "on send: MemoryObjectSendStream full 10/10 [" in told(end)["producer"][-1]


def test_a_channel_of_trio_says_how_full_it_is() -> None:
    """trio's own channels are told as anyio's streams are."""

    async def main() -> None:
        send, receive = trio.open_memory_channel[int](0)
        async with send, receive:
            await receive.receive()

    end, _ = run(main, "trio")
    assert "on receive: MemoryReceiveChannel empty 0/0" in told(end)["main"][1]


# -- who holds it ---------------------------------------------------------------------------------------


def held_in(body: Callable[[Any], Coroutine[Any, Any, object]], lock: Callable[[], Any], backend: str) -> str:
    """How the wait for a lock is told, that `holder` got in the way `body` shows."""

    async def main() -> None:
        shared = lock()

        async def holder() -> None:
            await body(shared)

        async def wants() -> None:
            await anyio.sleep(1)
            async with shared:
                pytest.fail("it is never free")

        await together(holder, wants)

    end, _ = run(main, backend)
    assert end.how == "deadlock"
    return next(line for line in told(end)["wants"] if line.startswith("wait"))


async def in_the_body(lock: Any) -> None:
    async with lock:
        await anyio.sleep_forever()


async def by_hand(lock: Any) -> None:
    await lock.acquire()
    await anyio.sleep_forever()


async def through_a_manager(lock: Any) -> None:
    @asynccontextmanager
    async def turn() -> Any:
        async with lock:
            yield

    async with turn():
        await anyio.sleep_forever()


async def not_any_more(lock: Any) -> None:
    async with lock:
        pass
    await by_hand(lock)


@pytest.mark.parametrize("body", [in_the_body, through_a_manager])
@pytest.mark.parametrize("kind", [asyncio.Lock, lambda: asyncio.Semaphore(1), lambda: anyio.Semaphore(1)])
def test_the_holder_is_named_inside_an_async_with(body: Any, kind: Callable[[], Any]) -> None:
    """Locks of asyncio and semaphores know no owner: the frames of the other tasks do."""
    assert held_in(body, kind, "asyncio").endswith(", held by 'holder'")


@both
@pytest.mark.parametrize("body", [in_the_body, by_hand])
def test_the_owner_of_a_lock_of_anyio_is_named(body: Any, backend: str) -> None:
    """anyio and trio know the owner, however it got the lock."""
    assert held_in(body, anyio.Lock, backend).endswith("held by 'holder'")
    if backend == "trio":
        assert held_in(body, trio.Lock, backend).endswith("held by 'holder'")


@pytest.mark.parametrize("body", [by_hand, not_any_more])
def test_nobody_is_named_who_cannot_be_known(body: Any) -> None:
    """A lock of asyncio that was acquired by hand leaves no trace, and so nobody is blamed."""
    assert held_in(body, asyncio.Lock, "asyncio") == "waits in Lock.__aenter__ on shared: Lock"


def test_a_task_that_holds_its_lock_already_is_named() -> None:
    """Who enters the same lock twice waits for itself."""

    async def main() -> None:
        lock = asyncio.Lock()
        async with lock, lock:
            pytest.fail("the lock is taken")

    end, _ = run(main)
    assert "held by 'main'" in told(end)["main"][-2]


def test_a_waiter_on_a_condition_does_not_hold_its_lock() -> None:
    """`Condition.wait` gives the lock away; who waits in it is not the one that holds it."""

    async def main() -> None:
        changed = asyncio.Condition()

        async def waits() -> None:
            async with changed:
                await changed.wait()

        async def holds() -> None:
            await anyio.sleep(1)
            async with changed:
                await anyio.sleep_forever()

        async def wants() -> None:
            await anyio.sleep(2)
            async with changed:
                pytest.fail("the lock is taken")

        await together(waits, holds, wants)

    end, _ = run(main)
    assert told(end)["wants"][-1] == "waits in Condition.__aenter__ on changed: Condition, held by 'holds'"


def test_a_lock_whose_owner_has_ended_is_reported_so() -> None:
    """Nobody else can release a lock of anyio, so such a wait is for ever."""

    async def main() -> None:
        lock = anyio.Lock()

        async def leaves() -> None:
            await lock.acquire()

        async def wants() -> None:
            await anyio.sleep(1)
            await lock.acquire()

        await together(leaves, wants, ticker)

    end, _ = run(main)
    assert end.how == "deadlock"
    assert end.stuck == ("main", "wants")
    assert told(end)["wants"][-2].endswith("held by 'leaves', which has ended")


# -- a lost wake-up ---------------------------------------------------------------------------------------


@both
def test_a_lost_wake_up_is_proved(backend: str) -> None:
    """An event that was replaced is out of reach for everybody but those who wait for it."""

    async def main() -> None:
        gate = Gate()

        async def early() -> None:
            await gate.passed()

        async def late() -> None:
            await anyio.sleep(2)
            await gate.passed()

        async def replaces() -> None:
            await anyio.sleep(1)
            gate.replace()

        await together(early, late, replaces)

    end, _ = run(main, backend)
    assert end.how == "deadlock"
    assert lost(end) == ["early"]
    assert told(end)["early"][-2] == "waits in Event.wait on Event [tasks_waiting=1]"
    assert told(end)["late"][-1] == "waits in Event.wait on Gate._resume: Event [tasks_waiting=1]"


def keep_nothing(event: Any) -> None:
    """The waiters alone know it."""


def keep_in_a_list(event: Any) -> None:
    KEPT.append([event])


def keep_in_a_closure(event: Any) -> None:
    KEPT.append(lambda: event)


def keep_in_an_object(event: Any) -> None:
    gate = Gate()
    gate._resume = event
    KEPT.append(gate.passed)


@both
@pytest.mark.parametrize(
    ("keep", "proved"),
    [
        (keep_nothing, True),
        (keep_in_a_list, False),
        (keep_in_a_closure, False),
        (keep_in_an_object, False),
    ],
)
def test_any_holder_voids_the_proof(backend: str, keep: Callable[[Any], None], proved: bool) -> None:
    """A reference from a list, a closure or an object that anybody can reach is enough."""

    async def main() -> None:
        event = anyio.Event()
        keep(event)
        await event.wait()

    try:
        end, _ = run(main, backend)
    finally:
        KEPT.clear()
    assert bool(lost(end)) is proved


@both
def test_a_caller_s_variable_voids_the_proof(backend: str) -> None:
    """What the frame below the run holds is within reach, though no collector sees that frame."""
    event = None if backend == "trio" else asyncio.Event()
    held = [trio.Event() if event is None else event]

    async def main() -> None:
        await held[0].wait()

    assert lost(run(main, backend)[0]) == []
    assert held


@both
def test_another_task_s_variable_voids_the_proof(backend: str) -> None:
    """A task that is blocked itself, but not on the event, still reaches it."""

    async def main() -> None:
        gate = Gate()
        event = gate._resume

        async def waits() -> None:
            await gate.passed()

        await together(waits)
        event.set()

    assert lost(run(main, backend)[0]) == []


@both
def test_garbage_does_not_void_the_proof(backend: str) -> None:
    """What only a cycle of garbage holds is out of reach, whether or not it was collected yet."""

    async def main() -> None:
        gate = Gate()
        cycle: list[Any] = [gate._resume]
        cycle.append(cycle)
        del cycle

        async def waits() -> None:
            await gate.passed()

        async def replaces() -> None:
            await anyio.sleep(1)
            gate.replace()

        await together(waits, replaces)

    gc.disable()
    try:
        assert lost(run(main, backend)[0]) == ["waits"]
    finally:
        gc.enable()


@both
def test_a_report_is_the_same_every_time(backend: str) -> None:
    """Neither earlier runs nor the state of the garbage collector show in it."""

    async def main() -> None:
        gate = Gate()

        async def early() -> None:
            await gate.passed()

        async def late() -> None:
            await anyio.sleep(2)
            gate.replace()
            await gate.passed()

        await together(early, late, ticker)

    ends = [run(main, backend)[0] for _ in range(2)]
    gc.collect()
    ends.append(run(main, backend)[0])
    assert ends[0] == ends[1] == ends[2]
    assert ends[0].stuck


# -- stuck, while others run -------------------------------------------------------------------------------


def beside_a_ticker(
    *bodies: Callable[[], Coroutine[Any, Any, object]], backend: str, limit: int = 30 * SECOND
) -> Ended:
    """How a run ends whose `main` waits for these and for a ticker."""
    return run(lambda: together(*bodies, ticker), backend, limit=limit)[0]


@both
def test_a_lost_wake_up_beside_a_ticker_is_a_partial_deadlock(backend: str) -> None:
    """Who is stuck is named, and so is `main` that waits for them; the ticker is not."""

    async def main() -> None:
        gate = Gate()

        async def follower() -> None:
            await gate.passed()

        async def replaces() -> None:
            await anyio.sleep(1)
            gate.replace()

        await together(follower, replaces, ticker)

    end, scheduler = run(main, backend)
    assert end.how == "deadlock"
    assert [name.rpartition(".")[2] for name in end.stuck] == ["main", "follower"]
    assert told(end)["main"][-1] == NEVER
    assert told(end)["follower"][-1] == OUT_OF_REACH
    assert told(end)["ticker"][-1] == "waits in sleep"
    assert str(scheduler.stopped_by).startswith(
        "partial deadlock at 30s: 2 task(s) wait for ever while others"
    )


@both
def test_a_circle_of_locks_beside_a_ticker_is_a_partial_deadlock(backend: str) -> None:
    """Two tasks that want each other's lock are stuck, though both locks are in everybody's reach."""

    async def main() -> None:
        left, right = anyio.Lock(), anyio.Lock()
        KEPT.extend((left, right))

        async def one() -> None:
            async with left:
                await anyio.sleep(1)
                async with right:
                    pytest.fail("the right one is taken")

        async def other() -> None:
            async with right:
                await anyio.sleep(1)
                async with left:
                    pytest.fail("the left one is taken")

        await together(one, other, ticker)

    try:
        end, _ = run(main, backend)
    finally:
        KEPT.clear()
    assert end.how == "deadlock"
    assert [name.rpartition(".")[2] for name in end.stuck] == ["main", "one", "other"]


@both
def test_workers_without_work_that_main_waits_for_are_stuck(backend: str) -> None:
    """Workers on a queue that nobody fills any more never end, and so neither does `main`."""

    async def main() -> None:
        send, receive = anyio.create_memory_object_stream[int](10)

        async def worker() -> None:
            async for _ in receive:
                pass

        async with send, receive:
            await together(worker, ticker)

    end, _ = run(main, backend)
    assert end.how == "deadlock"
    assert [name.rpartition(".")[2] for name in end.stuck] == ["main", "worker"]


def test_a_gather_of_a_stuck_task_is_stuck() -> None:
    """So is who awaits a task, a gather or a shield of one."""

    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        ticks = asyncio.create_task(ticker(), name="ticker")
        job = asyncio.create_task(stuck(), name="job")
        shielded = asyncio.create_task(shields(job), name="shields")
        await asyncio.gather(shielded, ticks)

    async def shields(job: asyncio.Task[None]) -> None:
        await asyncio.shield(job)

    end, _ = run(main)
    assert end.how == "deadlock"
    assert end.stuck == ("main", "job", "shields")


# -- no false alarms ---------------------------------------------------------------------------------------


async def idle_on_a_live_queue() -> None:
    send, receive = anyio.create_memory_object_stream[int](10)

    async def worker() -> None:
        async for _ in receive:
            pass

    async def feeder() -> None:
        while True:
            await anyio.sleep(100)
            await send.send(1)

    async with send, receive:
        await together(worker, feeder)


async def waits_for_what_a_sleeper_holds() -> None:
    event = anyio.Event()

    async def setter() -> None:
        await anyio.sleep(1e6)
        event.set()

    await together(event.wait, setter, ticker)


async def waits_for_what_main_holds() -> None:
    event = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(event.wait)
        while True:
            await anyio.sleep(1)


async def waits_under_a_timeout() -> None:
    async def patient() -> None:
        with anyio.fail_after(1e6):
            await anyio.Event().wait()

    await together(patient, ticker)


async def waits_for_a_lock_of_a_sleeper() -> None:
    lock = anyio.Lock()

    async def holder() -> None:
        async with lock:
            await anyio.sleep(1e6)

    async def wants() -> None:
        await anyio.sleep(1)
        async with lock:
            pass

    await together(holder, wants, ticker)


async def sleeps_long() -> None:
    await together(ticker, sleeper)


async def sleeper() -> None:
    await anyio.sleep(1e6)


@both
@pytest.mark.parametrize(
    "main",
    [
        idle_on_a_live_queue,
        waits_for_what_a_sleeper_holds,
        waits_for_what_main_holds,
        waits_under_a_timeout,
        waits_for_a_lock_of_a_sleeper,
        sleeps_long,
    ],
)
def test_who_can_still_be_woken_is_not_stuck(main: Main, backend: str) -> None:
    """As long as somebody who runs can reach it, or a timer will, a wait is no deadlock."""
    end, _ = run(main, backend)
    assert end.how == "time"
    assert end.stuck == ()


async def asyncio_timeout() -> None:
    async with asyncio.timeout(1e6):
        await asyncio.Event().wait()


async def asyncio_wait_for() -> None:
    await asyncio.wait_for(asyncio.Event().wait(), 1e6)


async def a_timer_sets_it() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(1e6, event.set)
    await event.wait()


async def a_timer_cancels_it() -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().call_later(1e6, task.cancel)
    await asyncio.Event().wait()


async def a_first_of_many() -> None:
    jobs = [asyncio.create_task(asyncio.sleep(1e6)), asyncio.create_task(asyncio.Event().wait())]
    await asyncio.wait(jobs, return_when="FIRST_COMPLETED")


async def an_executor() -> None:
    await asyncio.gather(asyncio.to_thread(sleep_in_a_thread), asyncio.sleep(1e6))


def sleep_in_a_thread() -> None:
    time.sleep(1e6)


@pytest.mark.parametrize(
    "body",
    [asyncio_timeout, asyncio_wait_for, a_timer_sets_it, a_timer_cancels_it, a_first_of_many, an_executor],
)
def test_a_timer_of_asyncio_keeps_hope_up(body: Callable[[], Coroutine[Any, Any, object]]) -> None:
    """Whatever asyncio offers to end a wait is seen."""
    end = beside_a_ticker(body, backend="asyncio")
    assert end.how == "time"
    assert body.__name__ not in end.stuck


def test_a_main_that_polls_is_not_stuck() -> None:
    """`main` goes on, so the run is not stopped for the task that is stuck beside it; the end names it."""

    async def main() -> None:
        jobs = [asyncio.create_task(asyncio.Event().wait(), name="job")]
        while not jobs[0].done():
            await asyncio.sleep(1)

    end, _ = run(main)
    assert end.how == "time"
    assert end.stuck == ("job",)


# -- early -------------------------------------------------------------------------------------------------


@both
def test_a_lasting_partial_deadlock_ends_the_run_early(backend: str) -> None:
    """A ticker does not keep it up for a whole day."""

    async def forgotten() -> None:
        await anyio.Event().wait()

    async def slow_ticker() -> None:
        while True:
            await anyio.sleep(60)

    end, scheduler = run(lambda: together(forgotten, slow_ticker), backend, limit=24 * HOUR)
    assert end.how == "deadlock"
    assert scheduler.timers.now() == 4 * HOUR


@both
def test_a_watchdog_may_take_hours(backend: str) -> None:
    """A task that ends the wait of others by its failure comes in time."""

    async def forgotten() -> None:
        await anyio.Event().wait()

    async def watchdog() -> None:
        for _ in range(2 * 60):
            await anyio.sleep(60)
        raise TimeoutError

    async def main() -> str:
        with suppress(ExceptionGroup):
            await together(forgotten, watchdog)
        return "restarted"

    end, _ = run(main, backend, limit=24 * HOUR)
    assert end.value == "restarted"


def test_tasks_that_await_one_another_are_stuck() -> None:
    """A ring of tasks, which asyncio itself cannot cancel, is a deadlock like any other."""

    async def main() -> None:
        async def awaits(number: int) -> None:
            await tasks[number]

        tasks = [asyncio.create_task(awaits(1 - number), name="ab"[number]) for number in range(2)]
        await asyncio.wait(tasks)

    end, _ = run(main)
    assert end.how == "deadlock"
    assert (told(end)["a"][-1], told(end)["b"][-1]) == ("waits for task 'b'", "waits for task 'a'")


# -- what spins --------------------------------------------------------------------------------------------


@both
def test_who_takes_the_last_steps_is_reported(backend: str) -> None:
    """A spent budget of steps names the tasks that spin, and where, not those that wait."""

    async def waits() -> None:
        with anyio.fail_after(1):
            await anyio.sleep_forever()

    async def spins() -> None:
        while True:
            await anyio.sleep(0)

    end, _ = run(lambda: together(waits, spins), backend, steps=500)
    assert end.how == "steps"
    assert len(end.spinning) == 1
    assert re.fullmatch(r"  (6\d) of the last \1 steps: task 'spins' at .*spins \(.*\)", end.spinning[0])


def test_a_spinning_task_without_a_name_goes_by_its_function() -> None:
    """Who spins is called the same as in the rest of the report."""

    async def spins() -> None:
        while True:
            await asyncio.sleep(0)

    async def main() -> None:
        await asyncio.create_task(spins())

    end, _ = run(main, steps=500)
    assert "task 'spins#2' at " in end.spinning[0]
    assert "spins#2" in told(end)
