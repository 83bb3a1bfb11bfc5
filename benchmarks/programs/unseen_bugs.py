"""Programs with a bug each, on which no policy of the explorer was tuned; do not tune on them.

They check a policy that was tuned elsewhere. Names with `thread` are races of threads.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from wavetank import Scenario, Tank
from wavetank.clock import MILLISECOND, Duration
from wavetank.scenario import DurationRange, Latency

Main = Callable[[Tank], Awaitable[None]]


async def ask(tank: Tank, item: str) -> str:
    return (await tank.fake_llm.call(f"Do {item}.", item=item)).text


def crowd(group: TaskGroup, tasks: int = 4, steps: int = 6) -> None:
    """Tasks that only get in the way."""

    async def one() -> None:
        for _ in range(steps):
            await checkpoint()

    for _ in range(tasks):
        group.start_soon(one)


async def filled_twice(_: Tank) -> None:
    """Two tasks find a cache empty, and both fill it."""
    cache: dict[str, int] = {}
    made: list[str] = []

    async def get(key: str, at: float) -> None:
        await anyio.sleep(at)
        if key not in cache:
            await checkpoint()
            made.append(key)
            cache[key] = len(made)

    async with anyio.create_task_group() as group:
        for at in (0.1, 0.12, 0.5):
            group.start_soon(get, "key", at)
        crowd(group)
    assert len(made) == 1


async def wrong_one_woken(_: Tank) -> None:
    """Two kinds of tasks wait on one condition, and the one that is notified cannot go on."""
    changed, box = anyio.Condition(), list[int]()

    async def produce() -> None:
        async with changed:
            while box:
                await changed.wait()
            box.append(1)
            changed.notify()

    async def consume() -> None:
        async with changed:
            while not box:
                await changed.wait()
            box.pop()
            changed.notify()

    with anyio.fail_after(100):
        async with anyio.create_task_group() as group:
            for work in (consume, produce, consume, produce):
                group.start_soon(work)


async def changed_and_back(_: Tank) -> None:
    """A task sees the same state before and after its await, and misses that it has changed twice."""
    state = {"open": 1, "changes": 0}
    missed: list[int] = []

    async def look() -> None:
        await anyio.sleep(1)
        before = state["open"]
        await checkpoint()
        if state["open"] == before and state["changes"]:
            missed.append(1)

    async def change() -> None:
        await anyio.sleep(1)
        await checkpoint()
        state["open"], state["changes"] = 0, 1
        await checkpoint()
        await checkpoint()
        state["open"] = 1

    async with anyio.create_task_group() as group:
        group.start_soon(change)
        group.start_soon(look)
        crowd(group, 2, 3)
    assert not missed


async def three_in_an_order(_: Tank) -> None:
    """Fails where the third task has begun before the second, and one of them before the first."""
    steps = ""

    async def one(name: str) -> None:
        nonlocal steps
        for _ in range(3):
            await checkpoint()
            steps += name

    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(one, name)
    assert not steps.startswith(("cb", "ccabba"))


async def saved_twice(_: Tank) -> None:
    """A timer is cancelled, and another one started, when it has gone off already."""
    saves: list[int] = []

    async def save_after_a_while(scope: anyio.CancelScope) -> None:
        with scope:
            await anyio.sleep(0.5)
            await checkpoint()
            saves.append(1)

    async with anyio.create_task_group() as group:
        first = anyio.CancelScope()
        group.start_soon(save_after_a_while, first)
        await anyio.sleep(0.48)
        first.cancel()
        group.start_soon(save_after_a_while, anyio.CancelScope())
    assert saves == [1]


async def drained_early(_: Tank) -> None:
    """The drain does not see a job that is neither in the queue nor counted yet."""
    send, receive = anyio.create_memory_object_stream[int](10)
    running, done, seen = [0], [0], list[int]()

    async def work() -> None:
        async for _ in receive:
            await checkpoint()
            running[0] += 1
            await anyio.sleep(0.1)
            running[0] -= 1
            done[0] += 1

    async def drain() -> None:
        await anyio.sleep(0.05)
        while running[0] or receive.statistics().current_buffer_used:
            await anyio.sleep(0.01)
        seen.append(done[0])
        send.close()

    async with receive, anyio.create_task_group() as group:
        group.start_soon(work)
        for number in range(3):
            await send.send(number)
        group.start_soon(drain)
    assert seen == [3]


async def three_locks(_: Tank) -> None:
    """Three tasks take two of three locks each, in a circle."""
    locks = [anyio.Lock() for _ in range(3)]

    async def eat(seat: int) -> None:
        for _ in range(2):
            await anyio.sleep(0.05 * (1 + seat))
            async with locks[seat]:
                await checkpoint()
                async with locks[(seat + 1) % 3]:
                    await checkpoint()

    async with anyio.create_task_group() as group:
        for seat in range(3):
            group.start_soon(eat, seat)
        crowd(group)


async def leader_cut(tank: Tank) -> None:
    """The task that the others wait for is cancelled by its own time-out."""
    ready = anyio.Event()

    async def lead() -> None:
        with anyio.move_on_after(30):
            await ask(tank, "a")
            await ask(tank, "b")
            ready.set()

    async with anyio.create_task_group() as group:
        group.start_soon(lead)
        await ready.wait()


async def merged_backwards(tank: Tank) -> None:
    """Three answers that come in the reverse order break the merge."""
    came: list[str] = []

    async def one(item: str) -> None:
        await ask(tank, item)
        came.append(item)

    async with anyio.create_task_group() as group:
        for item in "abc":
            group.start_soon(one, item)
    assert came != ["c", "b", "a"]


async def refunded_twice(tank: Tank) -> None:
    """A slot is given back for the answer, and once more for the time-out that follows it."""
    slots = [2]

    async def one(item: str) -> None:
        slots[0] -= 1
        try:
            with anyio.fail_after(20):
                await ask(tank, item)
                slots[0] += 1
                await checkpoint()
        except TimeoutError:
            slots[0] += 1

    async with anyio.create_task_group() as group:
        for item in "ab":
            group.start_soon(one, item)
    assert slots == [2]


# -- threads -------------------------------------------------------------------------------------


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


async def thread_flag_before_value(_: Tank) -> None:
    """An event says that a value is there before it is."""
    lock, ready, value = threading.Lock(), threading.Event(), list[int]()

    def make() -> None:
        ready.set()
        with lock:
            value.append(1)

    def use() -> None:
        if ready.is_set():
            with lock:
                pass
            assert value

    in_threads(make, use)


async def thread_lost_updates(_: Tank) -> None:
    """Of six updates in two steps each, more than two are lost."""
    lock, total = threading.Lock(), [0]

    def add() -> None:
        for _ in range(2):
            with lock:
                seen = total[0]
            with lock:
                total[0] = seen + 1

    in_threads(add, add, add)
    assert total[0] >= 4


async def thread_event_cleared(_: Tank) -> None:
    """An event that was set again is cleared, and its second row is never taken."""
    arrived, lock, rows, taken = threading.Event(), threading.Lock(), list[int](), list[int]()

    def put() -> None:
        for row in range(2):
            with lock:
                rows.append(row)
            arrived.set()

    def take() -> None:
        while len(taken) < 2:
            arrived.wait()
            with lock:
                taken.extend(rows)
                rows.clear()
            arrived.clear()

    in_threads(put, take)


async def thread_four_steps(_: Tank) -> None:
    """Fails after one order of four steps of three threads."""
    lock, steps = threading.Lock(), list[str]()

    def two(name: str) -> None:
        for step in "12":
            with lock:
                steps.append(name + step)

    in_threads(lambda: two("a"), lambda: two("b"), lambda: two("c"))
    assert steps[:4] != ["a1", "c1", "c2", "b1"]


async def thread_given_back_to_closed(_: Tank) -> None:
    """A connection is given back to a pool that is closed between the look and the return."""
    lock, pool, closed = threading.Lock(), list[str](), list[bool]()

    def give_back() -> None:
        with lock:
            shut = bool(closed)
        if not shut:
            with lock:
                pool.append("connection")

    def close() -> None:
        with lock:
            closed.append(True)
        with lock:
            pool.clear()

    in_threads(give_back, close)
    assert not pool


async def thread_made_twice(_: Tank) -> None:
    """Two threads among five find that a client is not made yet, and both make it."""
    lock, made = threading.Lock(), list[int]()

    def get() -> None:
        with lock:
            missing = not made
        if missing:
            with lock:
                made.append(1)

    def busy() -> None:
        for _ in range(3):
            with lock:
                pass

    in_threads(busy, get, busy, get, busy, busy)
    assert len(made) == 1


async def thread_notified_too_soon(_: Tank) -> None:
    """A thread looks at a flag without the lock, and waits after it was notified."""
    flagged, flag, other = threading.Condition(), list[int](), threading.Lock()

    def wait() -> None:
        with other:
            pass
        if not flag:
            with flagged:
                flagged.wait()

    def notify() -> None:
        flag.append(1)
        with flagged:
            flagged.notify()

    in_threads(wait, notify)


SLOW_OR_FAST: Final = Scenario(
    latency=Latency(first_token=DurationRange(Duration(100 * MILLISECOND), Duration(400 * MILLISECOND)))
)

UNSEEN: Final[tuple[Main, ...]] = (
    filled_twice,
    wrong_one_woken,
    changed_and_back,
    three_in_an_order,
    saved_twice,
    drained_early,
    three_locks,
    leader_cut,
    merged_backwards,
    refunded_twice,
    thread_flag_before_value,
    thread_lost_updates,
    thread_event_cleared,
    thread_four_steps,
    thread_given_back_to_closed,
    thread_made_twice,
    thread_notified_too_soon,
)
"""In the scenario `SLOW_OR_FAST`."""
