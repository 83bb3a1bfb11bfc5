"""Programs that are plain functions: in virtual time, explored, interrupted, repeated."""

from __future__ import annotations

import asyncio
import functools
import queue
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import anyio
import openai
import pytest
import trio

import wavetank
from wavetank import Tank
from wavetank.sim.token import TokenError
from wavetank.tank.search.made_schedule import Made

from ..depth import n_of

ROWS = [f"row-{number}" for number in range(6)]


def ask(client: openai.OpenAI, row: str) -> str | None:
    answer = client.chat.completions.create(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": f"Do {row}."}],
        extra_headers={"x-wavetank-item": row},
    )
    return answer.choices[0].message.content


def asks_in_threads(tank: Tank) -> str:
    """Six rows through a sync SDK on four threads."""
    client = openai.OpenAI(api_key="key", max_retries=9)

    def work(row: str) -> None:
        tank.ledger.submit(row)
        tank.ledger.complete(row, ask(client, row))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, ROWS))
    return "done"


def inverts_two_locks(_: Tank) -> None:
    a, b = threading.Lock(), threading.Lock()

    def take(first: threading.Lock, second: threading.Lock) -> None:
        with first, second:
            pass

    threads = [threading.Thread(target=take, args=pair) for pair in ((a, b), (b, a))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_it_runs_in_virtual_time() -> None:
    """A sync SDK, threads and sleeps take no real time; the log and the token say that it ran in threads."""

    def main(tank: Tank) -> float:
        time.sleep(3600)
        asks_in_threads(tank)
        return tank.now()

    run = wavetank.simulate(main, "cascade")
    run.check()
    assert run.value is not None
    assert run.value > 3600
    assert run.outcomes.completed == 6
    assert run.events.header.backend == "threads"
    assert run.steps > 6
    again = wavetank.simulate(main, "cascade", schedule=run.schedule)
    assert again.events.to_ndjson() == run.events.to_ndjson()


def test_a_correct_program_passes_and_makes_every_kind_of_choice() -> None:
    """Threads are switched, and time passes where deadlines are near and where none is."""
    result = wavetank.search(asks_in_threads, "overloaded", schedules=n_of(15, 60))
    result.check()
    assert {"switch", "run", "stall", "pause", "provider"} <= {*result.choices}
    assert result.distinct > 12


def test_a_deadlock_names_each_thread_its_line_and_its_lock() -> None:
    """The report has who holds the lock that another waits for, since when, and where it was acquired."""
    failure = wavetank.search(inverts_two_locks, schedules=100).failure
    assert failure is not None
    assert failure.kind == "deadlock"
    text = failure.report()
    assert "waits in join of thread 'Thread-1 (take)'" in text
    for waiting, holding in ((1, 2), (2, 1)):
        _, _, about = text.partition(f"thread 'Thread-{waiting} (take)'\n")
        assert f"waits in a lock, held by 'Thread-{holding} (take)' since 0s, acquired at " in about
    assert "reachable with threads" in text
    assert "backend" not in failure.replay
    again = wavetank.simulate(inverts_two_locks, schedule=failure.schedule)
    assert again.events.to_ndjson() == failure.events.to_ndjson()


def test_a_token_belongs_to_a_plain_function() -> None:
    """One made with threads is refused for a coroutine function, and the other way round."""

    async def main(tank: Tank) -> None:
        inverts_two_locks(tank)

    by_threads = wavetank.simulate(inverts_two_locks).schedule
    with pytest.raises(TokenError, match="made on threads"):
        wavetank.simulate(main, schedule=by_threads)
    failure = wavetank.search(inverts_two_locks, schedules=100).failure
    assert failure is not None
    with pytest.raises(TokenError, match="program"):
        wavetank.simulate(asks_in_threads, schedule=failure.schedule)


def test_two_deadlines_at_one_instant_meet_in_both_orders() -> None:
    """Whether the main thread or another goes first when both may go on is a choice."""
    orders = set()

    def main(_: Tank) -> None:
        went: list[str] = []

        def later() -> None:
            time.sleep(1)
            went.append("thread")

        thread = threading.Thread(target=later)
        thread.start()
        time.sleep(1)
        went.append("main")
        thread.join()
        orders.add(tuple(went))

    wavetank.search(main, schedules=40)
    assert orders == {("thread", "main"), ("main", "thread")}


def test_time_passes_before_a_thread_goes_on() -> None:
    """A time-out that is almost over may end while a thread is on its way to hand over what is waited for."""

    def main(_: Tank) -> None:
        rows: queue.Queue[str] = queue.Queue()

        def put() -> None:
            time.sleep(0.98)
            rows.put("row")

        thread = threading.Thread(target=put)
        thread.start()
        assert rows.get(timeout=1) == "row"
        thread.join()

    failure = wavetank.search(main, schedules=100).failure
    assert failure is not None
    assert "stall" in {deviation.kind for deviation in failure.deviations}
    assert wavetank.search(main, schedules=50, level="any-instant").failure is None


def test_what_returns_a_coroutine_runs_on_its_backend() -> None:
    """A lambda, a partial and an object that can be called are what they return."""

    async def work(tank: Tank, seconds: float) -> float:
        await anyio.sleep(seconds)
        return tank.now()

    class Called:
        async def __call__(self, tank: Tank) -> float:
            return await work(tank, 3)

    for main in (lambda tank: work(tank, 3), functools.partial(work, seconds=3), Called()):
        for backend in ("asyncio", "trio"):
            run = wavetank.simulate(main, backend=backend)
            run.check()
            assert (run.value, run.events.header.backend) == (3, backend)
            assert wavetank.simulate(main, backend=backend, schedule=run.schedule).value == 3
            assert wavetank.search(main, schedules=5, backend=backend).backend == backend


def test_what_nothing_awaits_is_an_error() -> None:
    """The text says how to write the program."""

    async def yields(_: Tank) -> AsyncIterator[int]:
        yield 1

    run = wavetank.simulate(yields)
    assert isinstance(run.error, TypeError)
    assert "async def main(tank)" in str(run.error)


def test_a_loop_inside_is_explored() -> None:
    """A plain function may run an event loop, whose tasks take turns as the search chooses."""
    orders = set()

    def main(_: Tank) -> None:
        went: list[int] = []

        async def one(number: int) -> None:
            await asyncio.sleep(1)
            went.append(number)

        async def both() -> None:
            await asyncio.gather(one(1), one(2))

        asyncio.run(both())
        orders.add(tuple(went))

    wavetank.search(main, schedules=40).check()
    assert orders == {(1, 2), (2, 1)}


# -- the report ----------------------------------------------------------------------------------------


def saves_before_its_deadline(tank: Tank, *, saves_once: bool, run: Callable[..., object]) -> None:
    """Each attempt has five seconds; what it saves twice, it paid twice."""
    saved: dict[str, str] = {}

    async def attempts() -> None:
        while True:
            with anyio.move_on_after(5):
                text = saved.get("a") if saves_once else None
                if text is None:
                    text = (await tank.fake_llm.call("Do a.", item="a")).text
                    assert "a" not in saved, "saved twice"
                    saved["a"] = text
                await anyio.sleep(0.01)
                tank.ledger.complete("a", text)
                return

    async def main() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(attempts)

    tank.ledger.submit("a")
    run(main)


@pytest.mark.parametrize("run", [lambda main: asyncio.run(main()), trio.run], ids=["asyncio", "trio"])
def test_a_deadline_inside_of_a_loop_passes(run: Callable[..., object]) -> None:
    program = functools.partial(saves_before_its_deadline, run=run)
    failure = wavetank.search(functools.partial(program, saves_once=False), schedules=60).failure
    assert failure is not None
    assert any("just past a deadline that it has set itself" in each for each in map(str, failure.deviations))
    again = wavetank.simulate(functools.partial(program, saves_once=False), schedule=failure.schedule)
    assert "saved twice" in "".join(traceback.format_exception(again.error))
    assert wavetank.search(functools.partial(program, saves_once=True), schedules=60).failure is None


def lost_update(_: Tank) -> None:
    lock, total = threading.Lock(), [0]

    def add() -> None:
        with lock:
            seen = total[0]
        with lock:
            total[0] = seen + 1

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert total == [2]


def test_the_report_has_the_interleaving_beside_that_of_a_run_that_passes() -> None:
    """Who ran up to which line of the program, where FIFO would have run another, and what went otherwise."""
    failure = wavetank.search(lost_update, schedules=100).failure
    assert failure is not None
    orders = [each for each in failure.deviations if each.kind == "run"]
    assert all("; FIFO would have run " in each.text for each in orders)
    failing, _, beside = failure.report().partition("beside it a run that passes, the same without")
    assert "test_sim_plain.py" in failing.partition("the interleaving")[2]
    starred = [line for line in failing.splitlines() if line.lstrip().startswith("*  ")]
    assert len(starred) == len(orders)
    for line in starred:
        assert any(each.task and each.task.replace("the main thread", "main") in line for each in orders)
    assert "with lock:" in failing
    assert "Thread-" in beside
    steps = failure.interleaving
    assert [step.deviates for step in steps].count(True) == len(orders)
    assert {step.task for step in steps} >= {"main", "Thread-1 (add)", "Thread-2 (add)"}


def test_tasks_have_an_interleaving_too() -> None:
    """It is in the log's notes and on the page; plain FIFO order has none, and a token repeats it."""

    async def main(_: Tank) -> None:
        went: list[str] = []

        async def work(name: str) -> None:
            await anyio.sleep(1)
            went.append(name)

        async with anyio.create_task_group() as group:
            group.start_soon(work, "early", name="early")
            group.start_soon(work, "late", name="late")
        assert went == ["early", "late"]

    for backend in ("asyncio", "trio"):
        failure = wavetank.search(main, schedules=100, backend=backend).failure
        assert failure is not None
        assert any(step.deviates and "late" in step.task for step in failure.interleaving)
        assert any(step.text == "await anyio.sleep(1)" for step in failure.interleaving)
        notes = failure.logs()[0].notes
        assert notes is not None
        assert [step.text for step in notes.interleaving] == [step.text for step in failure.interleaving]
        again = wavetank.simulate(main, backend=backend, schedule=failure.schedule)
        assert again.interleaving == failure.interleaving
        assert "interleaving" not in wavetank.simulate(main, backend=backend).report()


# -- interruptions ------------------------------------------------------------------------------------


def test_a_plain_program_is_interrupted_where_its_main_thread_waits() -> None:
    """`KeyboardInterrupt` strikes as Ctrl-C does; other threads come to their end; the line is reported."""
    cut: list[float] = []

    def main(tank: Tank) -> None:
        def later() -> None:
            time.sleep(5)
            cut.append(tank.now())

        thread = threading.Thread(target=later)
        thread.start()
        opened = [0]
        tank.watch("open", lambda: opened[0])
        opened[0] = 1
        time.sleep(1)
        opened[0] = 0
        thread.join()

    result = wavetank.search(main, schedules=60, interrupt=True, checks="+permits_returned")
    assert result.failure is not None
    assert result.failure.kind == "check"
    assert any(
        "main waits at " in str(each) and "test_sim_plain.py" in str(each)
        for each in result.failure.deviations
    )
    assert set(cut) == {5.0}
    again = wavetank.simulate(
        main, schedule=result.failure.schedule, interrupt=True, checks="+permits_returned"
    )
    assert again.events.to_ndjson() == result.failure.events.to_ndjson()


def test_pools_end_after_an_interruption() -> None:
    """A pool that nobody has shut down finishes its work when the program is interrupted: no hang."""
    done: list[int] = []

    def main(_: Tank) -> None:
        done.clear()

        def work(number: int) -> None:
            time.sleep(1)
            done.append(number)

        pool = ThreadPoolExecutor(2)
        for number in range(4):
            pool.submit(work, number)
        time.sleep(10)

    ended: list[tuple[str, int]] = []

    def watch(made: Made) -> None:
        assert made.trial is not None
        ended.append((made.trial.end.how, len(done)))

    result = wavetank.search(main, schedules=60, interrupt=True, watch=watch)
    result.check()
    assert {*ended} == {("returned", 4), ("interrupted", 4)}


def test_it_runs_again_on_what_it_kept() -> None:
    """`after_interrupt` is a plain function too, and both sessions are judged together."""
    kept: dict[str, str] = {}

    def session(tank: Tank) -> None:
        for row in ROWS[:3]:
            tank.ledger.submit(row)
            if row not in kept:
                kept[row] = str(ask(openai.OpenAI(api_key="key", max_retries=9), row))
            tank.ledger.complete(row, kept[row])

    def main(tank: Tank) -> None:
        kept.clear()
        session(tank)

    wavetank.search(main, "overloaded", schedules=20, interrupt=True, after_interrupt=session).check()

    async def again(tank: Tank) -> None:
        session(tank)

    async def awaited(tank: Tank) -> None:
        main(tank)

    failure = wavetank.search(main, schedules=40, interrupt=True, after_interrupt=again).failure
    assert failure is not None
    assert isinstance(failure.error, TypeError)
    with pytest.raises(TypeError, match="coroutine function"):
        wavetank.search(awaited, schedules=40, interrupt=True, after_interrupt=session)
