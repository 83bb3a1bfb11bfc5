"""The cause is in the report: what failed unseen, who waited through a quiet stretch, and who held it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import pytest
import trio

import wavetank
from wavetank import Run, Tank
from wavetank.scenario import scenario_from_dict

HERE = "tests/tank/test_tank_causes.py"

ON_BOTH = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def line_of(text: str) -> int:
    """The first line of this file with a text."""
    with open(__file__, encoding="utf-8") as file:
        return next(number for number, line in enumerate(file, start=1) if text in line)


def unseen(run: Run[Any]) -> list[tuple[str, str]]:
    assert run.events.end is not None
    return [(each.task, each.error) for each in run.events.end.unseen]


async def fails(text: str = "broken") -> None:
    await asyncio.sleep(1)
    raise ValueError(text)  # the place


# -- errors that nothing received ---------------------------------------------------------------------


def test_a_task_that_nothing_awaits_is_reported_with_its_place() -> None:
    """Also when the program throws the task away."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        kept = asyncio.create_task(fails("kept"), name="kept")
        asyncio.create_task(fails("thrown away"), name="thrown")  # noqa: RUF006
        await asyncio.sleep(5)
        del kept

    run = wavetank.simulate(main)
    assert sorted(unseen(run)) == [("kept", "ValueError: kept"), ("thrown", "ValueError: thrown away")]
    place = f"{HERE}:{line_of('# the place')}"
    assert (
        f"each ended with an error that nothing received, at 1s: ValueError: kept ({place})" in run.report()
    )


def test_only_the_first_error_of_a_gather_is_received() -> None:
    """The others are dropped by `gather`, and asyncio says nothing of them."""

    async def main(_: Tank) -> None:
        with pytest.raises(ValueError, match="0"):
            await asyncio.gather(*(fails(str(number)) for number in range(3)))
        await asyncio.sleep(1)

    assert [error for _, error in unseen(wavetank.simulate(main))] == ["ValueError: 1", "ValueError: 2"]


def test_a_gather_that_nothing_awaits_is_unseen() -> None:
    """Its error reached the gather and nothing else."""

    async def main(_: Tank) -> None:
        both = asyncio.gather(fails(), asyncio.sleep(9))
        await asyncio.sleep(5)
        del both

    assert [error for _, error in unseen(wavetank.simulate(main))] == ["ValueError: broken"]


def test_errors_that_are_received_are_no_news() -> None:
    """Awaited, given back as results, asked for, or raised by a task group."""

    async def in_a_group() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(fails())

    async def main(_: Tank) -> None:
        await asyncio.gather(fails(), fails(), return_exceptions=True)
        task = asyncio.create_task(fails())
        await asyncio.wait([task])
        task.exception()
        with pytest.raises(ValueError, match="broken"):
            await asyncio.create_task(fails())
        with pytest.raises(ExceptionGroup):
            await in_a_group()

    assert unseen(wavetank.simulate(main)) == []


@ON_BOTH
def test_a_failed_thread_is_reported(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name; a call in a pool, too, unless somebody asks its future."""

    def breaks(text: str) -> None:
        raise ValueError(text)

    async def main(_: Tank) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading, "excepthook", lambda _: None)
            thread = threading.Thread(target=breaks, args=["thread"], name="sender")
            thread.start()
            thread.join()
        with ThreadPoolExecutor(1, "pool") as pool:
            pool.submit(breaks, "dropped")
            asked = pool.submit(breaks, "asked")
        assert isinstance(asked.exception(), ValueError)

    run = wavetank.simulate(main, backend=backend)
    assert unseen(run) == [("sender", "ValueError: thread"), ("pool_0", "ValueError: dropped")]


# -- quiet stretches and holders ------------------------------------------------------------------------


def test_a_leaked_slot_is_traced_to_who_acquired_it() -> None:
    """Who waited, from when until when, and who had acquired the slot where and has ended."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        slots = asyncio.Semaphore(1)

        async def leaks() -> None:
            await slots.acquire()  # the leak

        await asyncio.create_task(leaks(), name="leaky")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await slots.acquire()  # the wait

    report = wavetank.simulate(main).report()
    assert "nothing happened from 0s to 1m:" in report
    assert (
        f"'main' ({HERE}:{line_of('# the wait')}) waits in Semaphore.acquire on slots: Semaphore, held by "
        f"'leaky' since 0s, acquired at {HERE}:{line_of('# the leak')} (it has ended)"
    ) in report


def test_several_tasks_wait_in_the_plural() -> None:
    """Those at one place share a line."""

    async def main(tank: Tank) -> None:
        async def rests() -> None:
            await anyio.sleep(60)  # the rest

        tank.ledger.submit("a")
        async with anyio.create_task_group() as group:
            for name in ("one", "two"):
                group.start_soon(rests, name=name)

    place = f"{HERE}:{line_of('# the rest')}"
    assert f"  'one', 'two' ({place}) wait in sleep" in wavetank.simulate(main).report()


@ON_BOTH
@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "CapacityLimiter"])
def test_a_held_primitive_of_anyio_names_holder_and_line(kind: str, backend: str) -> None:
    """On both backends, in a deadlock report."""

    async def main(_: Tank) -> None:
        held = anyio.Lock() if kind == "Lock" else getattr(anyio, kind)(1)

        async def holds() -> None:
            async with held:  # held here
                await anyio.sleep_forever()

        async with anyio.create_task_group() as group:
            group.start_soon(holds, name="holder")
            await anyio.sleep(1)
            await held.acquire()

    report = wavetank.simulate(main, backend=backend).report()
    assert f"held by 'holder' since 0s, acquired at {HERE}:{line_of('# held here')}" in report


@pytest.mark.parametrize("kind", ["Lock", "CapacityLimiter"])
def test_what_is_held_of_trio_names_holder_and_line(kind: str) -> None:
    """As that of anyio, which stands on it."""

    async def main(_: Tank) -> None:
        lock = trio.Lock() if kind == "Lock" else trio.CapacityLimiter(1)

        async def holds() -> None:
            async with lock:  # held in trio
                await trio.sleep_forever()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(holds, name="holder")
            await trio.sleep(1)
            await lock.acquire()

    report = wavetank.simulate(main, backend="trio").report()
    assert f"held by 'holder' since 0s, acquired at {HERE}:{line_of('# held in trio')}" in report


@ON_BOTH
def test_a_place_borrowed_for_something_is_given_back_by_its_borrower(backend: str) -> None:
    """The others that hold one stay named."""

    async def main(_: Tank) -> None:
        limiter = anyio.CapacityLimiter(2)
        for job in ("first", "second"):
            await limiter.acquire_on_behalf_of(job)  # borrowed for a job
            await anyio.sleep(1)
        limiter.release_on_behalf_of("second")
        await limiter.acquire_on_behalf_of("third")
        limiter.release_on_behalf_of(borrower="first")
        await limiter.acquire()
        await limiter.acquire_on_behalf_of("fourth")

    report = wavetank.simulate(main, backend=backend).report()
    assert f"held by 'main' since 2s, acquired at {HERE}:" in report
    assert "since 0s" not in report
    assert "since 1s" not in report


@ON_BOTH
def test_work_in_a_thread_that_holds_a_place_is_named(backend: str) -> None:
    """The task that has asked for the thread holds its limiter."""

    async def main(_: Tank) -> None:
        limiter, never = anyio.CapacityLimiter(1), threading.Event()

        async def works() -> None:
            await anyio.to_thread.run_sync(never.wait, limiter=limiter)  # works in a thread

        async with anyio.create_task_group() as group:
            group.start_soon(works, name="worker")
            await anyio.sleep(1)
            await limiter.acquire()

    report = wavetank.simulate(main, backend=backend).report()
    assert f"held by 'worker' since 0s, acquired at {HERE}:{line_of('# works in a thread')}" in report


@ON_BOTH
def test_an_error_that_waits_for_the_other_tasks_of_its_group_is_reported(backend: str) -> None:
    """A task that cannot be cancelled keeps a group from raising what another one failed with."""

    async def main(_: Tank) -> None:
        async def breaks() -> None:
            raise ValueError("broken")  # breaks in a group

        async def goes_on() -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()

        async with anyio.create_task_group() as group:
            group.start_soon(breaks)
            group.start_soon(goes_on)

    expected = (
        f"a task of this group has failed at {HERE}:{line_of('# breaks in a group')} with ValueError: broken"
    )
    assert wavetank.simulate(main, backend=backend).report().count(expected) == 1


@pytest.fixture(params=[False, True], ids=["alone", "beside a foreign thread"])
def _a_foreign_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """A thread that has nothing to do with the run, and might post to it."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    if request.param:
        thread.start()
    yield
    over.set()
    if request.param:
        thread.join()


@pytest.mark.usefixtures("_a_foreign_thread")
def test_a_lock_of_threads_names_the_task_that_holds_it() -> None:
    """A task that keeps a thread's lock over an await stops the whole loop: the report says where."""

    async def main(_: Tank) -> None:
        lock = threading.Lock()

        async def works() -> None:
            with lock:  # kept over an await
                await asyncio.sleep(1)

        await asyncio.gather(*(asyncio.create_task(works(), name=f"w-{number}") for number in range(2)))

    run = wavetank.simulate(main)
    assert run.kind == "deadlock"
    assert (
        f"a lock, held by 'w-0' since 0s, acquired at {HERE}:{line_of('# kept over an await')}"
        in run.report()
    )


def test_the_errors_of_callbacks_are_reported() -> None:
    """asyncio only logs them, so what they were to do never happens."""

    async def main(_: Tank) -> None:
        over = asyncio.Event()

        def ends(task: asyncio.Task[int]) -> None:
            raise KeyError(task.result())  # breaks in a callback

        tasks = [asyncio.create_task(asyncio.sleep(1, number)) for number in range(2)]
        for task in tasks:
            task.add_done_callback(ends)
        await over.wait()

    report = wavetank.simulate(main).report()
    line = line_of("# breaks in a callback")
    assert "ends' ended 2 times with an error that nothing received, at 1s: KeyError: 0" in report
    assert f"({HERE}:{line})" in report


def test_an_exception_handler_of_the_loop_receives_the_errors_of_callbacks() -> None:
    """The program has heard of them, then."""

    async def main(_: Tank) -> None:
        loop, heard = asyncio.get_running_loop(), list[Any]()
        loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
        loop.call_soon(lambda: 1 / 0)
        await asyncio.sleep(1)
        assert len(heard) == 1

    assert unseen(wavetank.simulate(main)) == []


def test_a_task_that_ignores_its_cancellation_is_reported() -> None:
    """It keeps waiting, and so does the task that awaits its end."""

    async def main(_: Tank) -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()

        async def works() -> None:
            while True:
                try:
                    await queue.get()
                except asyncio.CancelledError:
                    continue

        worker = asyncio.create_task(works(), name="worker")
        await asyncio.sleep(1)
        worker.cancel()
        await worker

    report = wavetank.simulate(main).report()
    assert report.count("it was cancelled, and has not ended since") == 1
    assert report.index("task 'worker'") < report.index("it was cancelled")


def test_a_queue_says_how_many_items_were_never_marked_as_done() -> None:
    """Its join waits for them."""

    async def main(_: Tank) -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        for number in range(3):
            queue.put_nowait(number)
        await queue.get()
        await queue.get()
        await queue.join()

    assert (
        "waits in Queue.join on queue: Queue 1, 2 taken without task_done" in wavetank.simulate(main).report()
    )


@ON_BOTH
def test_an_endless_sleep_says_when_it_would_end(backend: str) -> None:
    """A delay that grew out of hand is seen by its end."""

    async def main(_: Tank) -> None:
        await anyio.sleep(10.0**9)

    report = wavetank.simulate(main, backend=backend).report()
    assert "the next timer is due at 277777h46m40s" in report


# -- how blocked tasks are described ------------------------------------------------------------------------


@ON_BOTH
def test_equal_tasks_share_a_paragraph(backend: str) -> None:
    """Nine workers at one line are one paragraph with their number and the first names."""

    async def main(_: Tank) -> None:
        event = anyio.Event()

        async def waits() -> None:
            await event.wait()

        async with anyio.create_task_group() as group:
            for number in range(9):
                group.start_soon(waits, name=f"w-{number}")

    report = wavetank.simulate(main, backend=backend).report()
    assert "  9 tasks 'w-0', 'w-1', 'w-2', 'w-3', 'w-4', …\n" in report
    assert report.count("waits in Event.wait on event: Event") == 1
    assert f"({HERE}:{line_of('await event.wait()')})" in report


@ON_BOTH
def test_idle_threads_of_a_pool_are_left_out(backend: str) -> None:
    """They wait for work, which is no news."""

    async def main(_: Tank) -> None:
        await anyio.to_thread.run_sync(sys.intern, "x")
        with ThreadPoolExecutor(1) as pool:
            pool.submit(int).result()
            await anyio.sleep_forever()

    run = wavetank.simulate(main, backend=backend)
    assert run.kind == "deadlock"
    assert "thread '" not in run.report()


def test_frames_of_libraries_are_left_out() -> None:
    """Of a client's many frames only the one that the program called is shown."""
    hangs = scenario_from_dict(
        {"fault": [{"kind": "stall-before-headers", "lasts": "100h"}]}, name="h", source="h"
    )

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        async with httpx.AsyncClient(timeout=None) as client:
            await client.post(
                "https://api.openai.com/v1/chat/completions",
                json={"model": "m", "messages": [{"role": "user", "content": "a"}]},
                headers={"authorization": "Bearer k"},
            )

    run = wavetank.simulate(main, hangs, max_virtual_seconds=100)
    report = run.report()
    assert "    in AsyncClient.post (httpx/_client.py:" in report
    assert report.count("(httpx/") == 2  # in the third sentence, and in the evidence
    assert "(httpcore/" not in report
    assert "request 1 (item 'a') is held by the scenario's fault 1 (stall-before-headers)" in report
    assert run.verdicts["liveness"].passed is False


def test_a_failure_says_that_ledger_and_requests_do_not_match() -> None:
    """Also when a check fails: the items may only be named differently."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("row-1")
        await tank.fake_llm.call("something else")

    with pytest.warns(wavetank.UnmatchedLedger):
        report = wavetank.simulate(main).report()
    assert "no request matches an item of the ledger: it has 'row-1'" in report
    assert "no request of this item ever arrived" not in report


def test_an_item_without_a_request_is_said_to_have_none() -> None:
    """It was lost before it was ever asked for."""

    async def main(tank: Tank) -> None:
        for item in ("a", "b"):
            tank.ledger.submit(item)
        tank.ledger.complete("a", (await tank.fake_llm.call("a", item="a")).text)

    report = wavetank.simulate(main).report()
    assert f"at 0s: submitted by 'main' at {HERE}:" in report
    assert "no request of this item ever arrived" in report


def test_both_reports_of_an_item_are_in_the_evidence() -> None:
    """However many requests lie between them."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        for session in range(2):
            for _ in range(9):
                await tank.fake_llm.call("a", item="a")
            tank.ledger.fail("a", f"session {session}")

    report = wavetank.simulate(main).report()
    assert report.count("at 0s: submitted") == 1
    for session in range(2):
        assert (
            f"reported as failed by 'main' at {HERE}:{line_of('tank.ledger.fail')}: session {session}"
            in report
        )
