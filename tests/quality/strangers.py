"""Buggy programs and their correct twins, written without a look at how the search chooses schedules.

Each is made by `make(fixed)`, which returns `main` and what resumes it after an interruption, or None.
The bugs are those that real pipelines have: a deadline that passes, or Ctrl-C that comes, at an await which
the author did not think of; a race of threads; and a pause of 50 ms between two steps.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, final

import anyio

from wavetank import ProviderError, Tank

ROWS: Final = [f"row-{number}" for number in range(4)]
ATTEMPTS: Final = 8

Main = Callable[[Tank], Any]
Made = tuple[Main, Main | None]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """A buggy program with its twin, and within how many schedules a search is to find the bug."""

    make: Callable[[bool], Made]
    within: int
    says: str
    backends: tuple[str, ...] = ("asyncio", "trio")
    interrupt: bool = False


async def each_row(tank: Tank, work: Callable[[str], Any]) -> None:
    """Submit all rows and work on them at once."""
    for row in ROWS:
        tank.ledger.submit(row)
    async with anyio.create_task_group() as group:
        for row in ROWS:
            group.start_soon(work, row, name=row)


async def until_answered(tank: Tank, row: str, attempt: Callable[[], Any]) -> None:
    """Try until there is an answer; after many attempts the row has failed."""
    error: Exception | None = None
    for number in range(ATTEMPTS):
        try:
            text = await attempt()
        except (ProviderError, TimeoutError) as wrong:
            error = wrong
            await anyio.sleep(2**number)
        else:
            tank.ledger.complete(row, text)
            return
    tank.ledger.fail(row, error)


def key_pool(fixed: bool) -> Made:
    """A key is taken from a pool, and lost if the deadline passes while its own pace is waited for."""

    async def main(tank: Tank) -> None:
        give, keys = anyio.create_memory_object_stream[str](2)
        for key in ("key-a", "key-b"):
            give.send_nowait(key)

        async def pace() -> None:
            await anyio.sleep(0.1)

        async def ask(row: str) -> str:
            with anyio.fail_after(15):
                key = await keys.receive()
                if not fixed:
                    await pace()
                try:
                    if fixed:
                        await pace()
                    return (await tank.fake_llm.call(f"Translate {row}.", item=row)).text
                finally:
                    give.send_nowait(key)

        with give, keys:
            await each_row(tank, lambda row: until_answered(tank, row, lambda: ask(row)))
            left = keys.statistics().current_buffer_used
            assert left == 2, f"{left} of 2 keys are in the pool at the end"

    return main, None


def single_flight(fixed: bool) -> Made:
    """Followers wait for the leader's event; a leader whose deadline passes never sets it."""

    async def main(tank: Tank) -> None:
        connections = anyio.CapacityLimiter(2)
        flights: dict[str, anyio.Event] = {}
        cache: dict[str, str] = {}

        async def lead(prompt: str) -> None:
            flights[prompt] = anyio.Event()
            try:
                async with connections:
                    cache[prompt] = (await tank.fake_llm.call(prompt)).text
            except BaseException:
                if fixed:
                    flights.pop(prompt).set()
                raise
            flights.pop(prompt).set()

        async def lookup(prompt: str) -> str:
            while prompt not in cache:
                if flight := flights.get(prompt):
                    await flight.wait()
                else:
                    await lead(prompt)
            return cache[prompt]

        async def page() -> None:
            with anyio.move_on_after(5):
                await lookup("Summarise the changelog.")

        async def nightly_job() -> None:
            await lookup("Summarise the changelog.")

        async with anyio.create_task_group() as group:
            group.start_soon(page, name="page")
            group.start_soon(nightly_job, name="nightly-job")

    return main, None


def marks_first(fixed: bool) -> Made:
    """A row is marked as done before its result is written; Ctrl-C between the two loses it."""
    done: set[str] = set()
    written: dict[str, str] = {}

    async def write(row: str, text: str) -> None:
        await anyio.sleep(0.01)
        written[row] = text

    async def work(tank: Tank, row: str) -> None:
        text = (await tank.fake_llm.call(f"Label {row}.", item=row)).text
        if fixed:
            await write(row, text)
            done.add(row)
        else:
            done.add(row)
            await write(row, text)

    async def session(tank: Tank) -> None:
        async def one(row: str) -> None:
            if row not in done:
                await work(tank, row)
            if row in written:
                tank.ledger.complete(row, written[row])

        await each_row(tank, one)

    async def main(tank: Tank) -> None:
        done.clear()
        written.clear()
        await session(tank)

    return main, session


def budget(fixed: bool) -> Made:
    """Tokens are reserved before the call and refunded on `except Exception`, which Ctrl-C passes by."""
    used = [0]
    kept: dict[str, str] = {}

    async def session(tank: Tank) -> None:
        async def work(row: str) -> None:
            assert used[0] < len(ROWS) * 100, f"no budget is left for {row}: {used[0]} tokens are used"
            used[0] += 100
            errors = BaseException if fixed else Exception
            try:
                text = (await tank.fake_llm.call(f"Grade {row}.", item=row)).text
            except errors:
                used[0] -= 100
                raise
            kept[row] = text
            tank.ledger.complete(row, text)

        async def one(row: str) -> None:
            if row in kept:
                tank.ledger.complete(row, kept[row])
            else:
                await work(row)

        await each_row(tank, one)

    async def main(tank: Tank) -> None:
        used[0] = 0
        kept.clear()
        await session(tank)

    return main, session


def thread_bucket(fixed: bool) -> Made:
    """Whether there is a token is asked under the lock, and it is taken under the lock: twice locked."""

    def main(tank: Tank) -> None:
        lock, tokens = threading.Lock(), [3]

        def available() -> bool:
            with lock:
                return tokens[0] > 0

        def take() -> bool:
            if not fixed and not available():
                return False
            with lock:
                if fixed and tokens[0] <= 0:
                    return False
                tokens[0] -= 1
                return True

        def worker() -> None:
            while take():
                time.sleep(0.05)  # the request

        tank.always(lambda: tokens[0] >= 0, name="no token is taken twice")
        threads = [threading.Thread(target=worker, name=f"worker-{n}") for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return main, None


def thread_writer(fixed: bool) -> Made:
    """The writer looks at a flag and not at its queue, so the last result may stay in the queue."""

    def main(tank: Tank) -> None:
        results: queue.Queue[tuple[str, str]] = queue.Queue()
        finished = threading.Event()

        def writer() -> None:
            while not finished.is_set() or (fixed and not results.empty()):
                try:
                    row, text = results.get(timeout=0.5)
                except queue.Empty:
                    continue
                tank.ledger.complete(row, text)

        def ask(row: str) -> None:
            time.sleep(0.2)
            results.put((row, f"label of {row}"))

        for row in ROWS:
            tank.ledger.submit(row)
        out = threading.Thread(target=writer, name="writer")
        out.start()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(ask, ROWS))
        finished.set()
        out.join()

    return main, None


def lease(fixed: bool) -> Made:
    """A lease of 40 ms on a shared total: a slower node overwrites what another one has added."""

    async def main(_: Tank) -> None:
        total, holder, until, version = [0], [""], [0.0], [0]

        async def acquire(name: str) -> int:
            while holder[0] and anyio.current_time() < until[0]:
                await anyio.sleep(until[0] - anyio.current_time())
            holder[0], until[0] = name, anyio.current_time() + 0.04
            version[0] += 1
            return version[0]

        async def add(name: str, tokens: int) -> None:
            while True:
                fence = await acquire(name)
                seen = total[0]
                await anyio.lowlevel.checkpoint()  # the total is read from the store
                if fixed and fence != version[0]:
                    continue
                total[0] = seen + tokens
                if holder[0] == name:
                    holder[0] = ""
                return

        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(add, f"node-{number}", 10)
        assert total[0] == 30, f"the nodes used 30 tokens, and {total[0]} are counted"

    return main, None


def signature(fixed: bool) -> Made:
    """A request is signed before its turn is waited for, and the signature holds for 40 ms."""

    async def main(tank: Tank) -> None:
        turn = anyio.Lock()

        async def send(row: str, signed_at: float) -> str:
            age = anyio.current_time() - signed_at
            assert age < 0.04, f"the signature of {row} is {age * 1000:.0f} ms old"
            return (await tank.fake_llm.call(f"Check {row}.", item=row)).text

        for row in ROWS:
            tank.ledger.submit(row)
            signed_at = anyio.current_time()
            async with turn:
                if fixed:
                    signed_at = anyio.current_time()
                tank.ledger.complete(row, await send(row, signed_at))

    return main, None


def pacer(fixed: bool) -> Made:
    """20 ms between two requests; the time that is left is negative after a pause, which anyio refuses."""

    async def main(tank: Tank) -> None:
        log: list[str] = []

        async def work(row: str) -> None:
            tank.ledger.complete(row, (await tank.fake_llm.call(f"Rank {row}.", item=row)).text)

        async with anyio.create_task_group() as group:
            earliest = anyio.current_time()
            for row in ROWS:
                tank.ledger.submit(row)
                if anyio.current_time() < earliest:
                    await anyio.lowlevel.checkpoint()  # the log is written
                    log.append(f"{row} waits")
                    left = earliest - anyio.current_time()
                    await anyio.sleep(max(0, left) if fixed else left)
                earliest = anyio.current_time() + 0.02
                group.start_soon(work, row, name=row)

    return main, None


# Within: four times the median of five seeds, on the backend that needs more schedules.
STRANGERS: Final = {
    "key_pool": Stranger(make=key_pool, within=24, says="of 2 keys are in the pool"),
    "single_flight": Stranger(make=single_flight, within=32, says="deadlock"),
    "marks_first": Stranger(make=marks_first, within=20, says="was lost", interrupt=True),
    "budget": Stranger(make=budget, within=12, says="no budget is left", interrupt=True),
    "thread_bucket": Stranger(make=thread_bucket, within=8, says="taken twice", backends=("threads",)),
    "thread_writer": Stranger(make=thread_writer, within=144, says="was lost", backends=("threads",)),
    "lease": Stranger(make=lease, within=64, says="are counted"),
    "signature": Stranger(make=signature, within=32, says="ms old"),
    "pacer": Stranger(make=pacer, within=32, says="negative"),
}
