"""Small programs with one seeded race each, and the expected report; `fixed` is the correct program.

Run as `python -m tests.quality.races NAME BACKEND TOKEN ...`, it repeats them and prints what each came to.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import anyio
import trio
from anyio.lowlevel import checkpoint

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import MILLISECOND, Duration
from wavetank.scenario import DurationRange, Latency

Main = Callable[[Tank], Awaitable[None]]


class Program(Protocol):
    def __call__(self, tank: Tank, /, *, fixed: bool = ...) -> Awaitable[None]: ...


def answers_after(low: int, high: int = 0) -> Scenario:
    """Every answer takes between so many and so many milliseconds."""
    taken = DurationRange(Duration(low * MILLISECOND), Duration((high or low) * MILLISECOND))
    return Scenario(latency=Latency(first_token=taken))


async def ask(tank: Tank, item: str) -> str:
    return (await tank.fake_llm.call(f"do {item}", item=item)).text


# -- what needs time to pass inside the program --------------------------------------------------------


async def stale_pause(_: Tank, *, fixed: bool = False) -> None:
    """The end of one pause opens the gate of the next one, which has just begun."""
    pauses = [0]

    async def refused(at: float) -> None:
        await anyio.sleep(at)
        pauses[0] += 1
        mine = pauses[0]
        await anyio.sleep(1)
        await checkpoint()
        if not fixed or mine == pauses[0]:
            pauses[0] = 0

    async with anyio.create_task_group() as group:
        group.start_soon(refused, 0.5)
        group.start_soon(refused, 1.52)
        await anyio.sleep(2)
        assert pauses[0], "the gate is open within a pause"


async def claimed_twice(tank: Tank, *, fixed: bool = False) -> None:
    """Two workers look whether an item is taken, and note that it is only after an await."""
    taken: list[str] = []
    lock = anyio.Lock()
    tank.ledger.submit("a")

    async def claim() -> bool:
        if "a" in taken:
            return False
        await checkpoint()
        taken.append("a")
        return True

    async def worker(at: float) -> None:
        await anyio.sleep(at)
        if fixed:
            async with lock:
                mine = await claim()
        else:
            mine = await claim()
        if mine:
            tank.ledger.complete("a", await ask(tank, "a"))

    async with anyio.create_task_group() as group:
        group.start_soon(worker, 1)
        group.start_soon(worker, 1.03)


async def two_locks(_: Tank, *, fixed: bool = False) -> None:
    """Two tasks take the same two locks, each in another order."""
    accounts, journal = anyio.Lock(), anyio.Lock()

    async def both(at: float, first: anyio.Lock, second: anyio.Lock) -> None:
        await anyio.sleep(at)
        async with first:
            await checkpoint()
            async with second:
                await checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(both, 1, accounts, journal)
        group.start_soon(both, 1.04, *((accounts, journal) if fixed else (journal, accounts)))


async def permit_lost(_: Tank, *, fixed: bool = False) -> None:
    """A time-out strikes between taking a permit and the block that gives it back."""
    permits = anyio.Semaphore(1)

    async def impatient() -> None:
        with anyio.move_on_after(1):
            await anyio.sleep(0.98)
            await permits.acquire()
            if not fixed:
                await checkpoint()
            try:
                await checkpoint()
            finally:
                permits.release()

    await impatient()
    async with permits:
        pass


async def time_out_after_answer(tank: Tank, *, fixed: bool = False) -> None:
    """An answer is there when its time-out strikes, and it is asked for, and paid, again."""
    tank.expect(paid_per_item=1)
    answers: list[str] = []
    tank.ledger.submit("a")
    while not answers:
        with anyio.move_on_after(1):
            text = await ask(tank, "a")
            if fixed:
                answers.append(text)
            await checkpoint()
            if not fixed:
                answers.append(text)
    tank.ledger.complete("a", answers[0])


async def hedged(tank: Tank, *, fixed: bool = False) -> None:
    """A second request is sent when the first has no answer yet, though it is about to have one."""
    answers: list[str] = []
    tank.ledger.submit("a")

    async def once() -> None:
        text = await ask(tank, "a")
        await checkpoint()
        answers.append(text)

    async with anyio.create_task_group() as group:
        group.start_soon(once)
        await anyio.sleep(0.5)
        if not answers and not fixed:
            group.start_soon(once)
    tank.ledger.complete("a", answers[0])


async def saved_twice(_: Tank, *, fixed: bool = False) -> None:
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
        if not (fixed and saves):
            group.start_soon(save_after_a_while, anyio.CancelScope())
    assert saves == [1], "it is saved twice"


# -- what needs the order of a tie ---------------------------------------------------------------------


async def lost_wake_up(_: Tank, *, fixed: bool = False) -> None:
    """A consumer looks into the box, and tells only after an await that it waits for more."""
    box: list[str] = []
    bell = [anyio.Event()]

    async def producer() -> None:
        await anyio.sleep(1)
        box.append("a")
        bell[0].set()

    async def consumer() -> None:
        await anyio.sleep(1)
        while not box:
            if not fixed:
                await checkpoint()
                bell[0] = anyio.Event()
            await bell[0].wait()

    async with anyio.create_task_group() as group:
        group.start_soon(producer, name="producer")
        group.start_soon(consumer, name="consumer")


async def reported_twice(tank: Tank, *, fixed: bool = False) -> None:
    """The first of two answers is to win, and whether there is one is asked before an await."""
    done: list[str] = []
    tank.expect(paid_per_item=2)
    tank.ledger.submit("a")

    async def once(after: float) -> None:
        await anyio.sleep(after)
        text = await ask(tank, "a")
        if done:
            return
        if fixed:
            done.append(text)
        await checkpoint()
        done.append(text)
        tank.ledger.complete("a", text)

    async with anyio.create_task_group() as group:
        group.start_soon(once, 0)
        group.start_soon(once, 0.04)


async def bell_before_book(_: Tank, *, fixed: bool = False) -> None:
    """A ticker closes the day at the very instant of the last sale, which belongs in the book."""
    book: list[str] = []
    closed: list[int] = []
    sold = anyio.Event()

    async def sale() -> None:
        await anyio.sleep(1)
        book.append("sold")
        sold.set()

    async def ticker() -> None:
        await anyio.sleep(1)
        if fixed:
            await sold.wait()
        closed.append(len(book))

    async with anyio.create_task_group() as group:
        group.start_soon(sale)
        group.start_soon(ticker)
    assert closed == [1], "the day was closed without its last sale"


# -- what needs an order that no runtime produces ------------------------------------------------------


async def lost_update(_: Tank, *, fixed: bool = False) -> None:
    """Two tasks read a total, wait for a step, and write it back; the other one starts two steps later."""
    total = [0]
    lock = anyio.Lock()

    async def add() -> None:
        seen = total[0]
        await checkpoint()
        total[0] = seen + 1

    async def worker(steps: int) -> None:
        await anyio.sleep(1)
        for _ in range(steps):
            await checkpoint()
        if fixed:
            async with lock:
                await add()
        else:
            await add()

    async with anyio.create_task_group() as group:
        group.start_soon(worker, 0)
        group.start_soon(worker, 2)
    assert total == [2], f"one of two updates is lost: {total[0]}"


async def sentinel_overtakes(_: Tank, *, fixed: bool = False) -> None:
    """The end is announced when nothing is in flight, while the last result is on its way to the queue."""
    results: list[str] = []
    idle = anyio.Event()

    async def worker() -> None:
        await checkpoint()
        if not fixed:
            idle.set()
        await checkpoint()
        results.append("a")
        if fixed:
            idle.set()

    async def closer() -> None:
        await idle.wait()
        await checkpoint()
        results.append("end")

    async with anyio.create_task_group() as group:
        group.start_soon(worker)
        group.start_soon(closer)
    assert results == ["a", "end"], results


# -- what the provider may do --------------------------------------------------------------------------


async def swapped_answers(tank: Tank, *, fixed: bool = False) -> None:
    """Answers are matched with items by the order in which they come."""
    asked = ["b", "a"]
    for item in asked:
        tank.ledger.submit(item)

    async def worker(item: str) -> None:
        text = await ask(tank, item)
        tank.ledger.complete(item if fixed else asked.pop(0), text)

    async with anyio.create_task_group() as group:
        for item in tuple(asked):
            group.start_soon(worker, item)


async def merged_backwards(tank: Tank, *, fixed: bool = False) -> None:
    """Answers are merged as they come, and of three in the reverse order the last one is lost."""
    came: list[str] = []

    async def worker(item: str) -> None:
        tank.ledger.complete(item, await ask(tank, item))
        came.append(item)

    async with anyio.create_task_group() as group:
        for item in "abc":
            tank.ledger.submit(item)
            group.start_soon(worker, item)
    if fixed:
        came.sort()
    assert came != ["c", "b", "a"]


async def budget_of_the_slow(tank: Tank, *, fixed: bool = False) -> None:
    """Two calls in a row fit into a time budget unless the provider is slow twice."""
    tank.ledger.submit("a")
    with anyio.move_on_after(10 if fixed else 0.7):
        await ask(tank, "probe")
        tank.ledger.complete("a", await ask(tank, "a"))


# -- what one backend alone has ------------------------------------------------------------------------


async def promised_twice(_: Tank, *, fixed: bool = False) -> None:
    """Two tasks see that a future of asyncio has no result, and both give it one."""
    promise: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def keep(after: float) -> None:
        await asyncio.sleep(after)
        if not promise.done():
            if not fixed:
                await asyncio.sleep(0)
            promise.set_result(1)

    async with asyncio.TaskGroup() as group:
        group.create_task(keep(1))
        group.create_task(keep(1.01))


async def channel_closed_early(_: Tank, *, fixed: bool = False) -> None:
    """A channel of trio is closed by the task that is done, while another one is about to send."""
    send, receive = trio.open_memory_channel[int](9)

    async def sender(at: float) -> None:
        await trio.sleep(at)
        await send.send(1)
        if not fixed and send.statistics().current_buffer_used == 1:
            await trio.lowlevel.checkpoint()
            if send.statistics().current_buffer_used == 2:
                await send.aclose()
        await send.send(2)

    async with receive, trio.open_nursery() as nursery:
        nursery.start_soon(sender, 1)
        nursery.start_soon(sender, 1.01)


# -- what is to be said of them ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """A program, and what a search is to find: the kind of failure, its level, and what it takes.

    `takes` are the kinds of its deviations, at most `most`; it is found in `within` schedules.
    """

    program: Program
    kind: str
    level: str
    takes: tuple[str, ...]
    within: int = 100
    most: int = 2
    scenario: Scenario = Scenario()  # noqa: RUF009
    backends: tuple[str, ...] = ("asyncio", "trio")

    def main(self, *, fixed: bool = False) -> Main:
        return partial(self.program, fixed=fixed)

    @property
    def name(self) -> str:
        return getattr(self.program, "__name__", "")


STALL, ORDER, PICK = ("stall",), ("run",), ("provider",)

RACES = (
    Race(program=stale_pause, kind="error", level="fifo", takes=STALL),
    Race(program=claimed_twice, kind="check", level="fifo", takes=STALL, scenario=answers_after(200)),
    Race(program=two_locks, kind="deadlock", level="fifo", takes=STALL),
    Race(program=permit_lost, kind="deadlock", level="fifo", takes=STALL),
    Race(
        program=time_out_after_answer,
        kind="check",
        level="fifo",
        takes=STALL,
        scenario=answers_after(980),
    ),
    Race(program=hedged, kind="check", level="fifo", takes=STALL, scenario=answers_after(480)),
    Race(program=saved_twice, kind="error", level="any", takes=("run", "stall"), within=200, most=4),
    Race(program=lost_wake_up, kind="deadlock", level="batch", takes=ORDER),
    Race(
        program=reported_twice,
        kind="check",
        level="fifo",
        takes=STALL,
        scenario=answers_after(300),
    ),
    Race(program=bell_before_book, kind="error", level="batch", takes=ORDER),
    Race(program=lost_update, kind="error", level="any", takes=ORDER),
    Race(program=sentinel_overtakes, kind="error", level="any", takes=ORDER),
    Race(program=swapped_answers, kind="check", level="fifo", takes=PICK, scenario=answers_after(100, 400)),
    Race(
        program=merged_backwards,
        kind="error",
        level="fifo",
        takes=PICK,
        within=200,
        scenario=answers_after(100, 400),
    ),
    Race(
        program=budget_of_the_slow,
        kind="check",
        level="fifo",
        takes=PICK,
        within=200,
        scenario=answers_after(100, 400),
    ),
    Race(program=promised_twice, kind="error", level="fifo", takes=STALL, backends=("asyncio",)),
    Race(program=channel_closed_early, kind="error", level="fifo", takes=STALL, backends=("trio",)),
)


def named(name: str) -> Race:
    return next(race for race in RACES if race.name == name)


if __name__ == "__main__":
    for name, backend, token in zip(*[iter(sys.argv[1:])] * 3, strict=True):
        race = named(name)
        again = wavetank.simulate(race.main(), race.scenario, backend=backend, schedule=token)
        print(again.kind, again.events.to_ndjson())
