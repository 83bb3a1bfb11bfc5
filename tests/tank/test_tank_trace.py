"""`tank.trace`: what happens to the program's primitives is in the log, and the run stays what it was."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

import wavetank
from wavetank import EventLog, Run, Tank
from wavetank.checks.traced import traced
from wavetank.tank.runs.trial_runs import Trials

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])

Program = Callable[[Tank], Awaitable[Any]]


def actions_of(log: EventLog, name: str) -> list[tuple[str, str, int | None]]:
    """Action, task and size of everything that was traced of a primitive."""
    events = [event for event in log.of("traced") if event.primitive == name]
    return [(event.action or "", event.task or "", event.size) for event in events]


def run(main: Program, backend: str = "asyncio") -> Run[Any]:
    """A run that raised nothing."""
    result = wavetank.simulate(main, backend=backend)
    assert result.error is None, result.error
    return result


def rest_of(run: Run[Any]) -> bytes:
    """The log without what was traced."""
    lines = run.events.to_ndjson().splitlines()
    return b"\n".join(line for line in lines if b'"kind":"traced"' not in line or line.startswith(b'{"end"'))


# -- the primitives of asyncio --------------------------------------------------------------


def test_events_locks_and_queues_of_asyncio() -> None:
    """Who did what and waited since when; named by variable, keyword and attribute."""

    class Gate:
        def __init__(self) -> None:
            self.cooldown = asyncio.Event()

    async def main(tank: Tank) -> None:
        gate, lock, work = Gate(), asyncio.Lock(), asyncio.Queue[int](1)
        tank.trace(gate.cooldown, lock, jobs=work)

        async def worker() -> None:
            for _ in range(2):
                await work.get()
                async with lock:
                    await asyncio.sleep(1)
                work.task_done()

        async def closer() -> None:
            async with lock:
                await asyncio.sleep(1)
            await gate.cooldown.wait()
            gate.cooldown.clear()

        async with asyncio.TaskGroup() as group:
            group.create_task(closer(), name="closer")
            group.create_task(worker(), name="worker")
            await work.put(1)
            await work.put(2)
            await work.join()
            gate.cooldown.set()

    log = run(main).events
    assert actions_of(log, "gate.cooldown") == [
        ("set", "main", None),
        ("waited", "closer", None),
        ("cleared", "closer", None),
    ]
    assert actions_of(log, "lock") == [
        ("acquired", "closer", None),
        ("released", "closer", None),
        ("waited", "worker", None),
        ("acquired", "worker", None),
        ("released", "worker", None),
        ("acquired", "worker", None),
        ("released", "worker", None),
    ]
    assert [one for one in actions_of(log, "jobs") if one[0] != "waited"] == [
        ("put", "main", 1),
        ("got", "worker", 0),
        ("put", "main", 1),
        ("task_done", "worker", 1),
        ("got", "worker", 0),
        ("task_done", "worker", 0),
        ("joined", "main", 0),
    ]
    waits = [
        (event.primitive, event.since, event.at) for event in log.of("traced") if event.since is not None
    ]
    assert ("gate.cooldown", 1_000_000_000, 3_000_000_000) in waits
    assert ("lock", 0, 1_000_000_000) in waits
    assert {event.file for event in log.of("traced")} == {"tests/tank/test_tank_trace.py"}
    assert EventLog.from_ndjson(log.to_ndjson()).to_ndjson() == log.to_ndjson()


def test_conditions_semaphores_and_barriers_of_asyncio() -> None:
    """A condition and its lock are one; a semaphore shows what is left, a barrier who is there."""

    async def main(tank: Tank) -> None:
        condition, permits, barrier = asyncio.Condition(), asyncio.Semaphore(1), asyncio.Barrier(2)
        tank.trace(condition, permits, barrier)

        async def waiter() -> None:
            async with condition:
                await condition.wait()
            async with permits:
                await barrier.wait()

        async with asyncio.TaskGroup() as group:
            group.create_task(waiter(), name="waiter")
            await asyncio.sleep(1)
            async with condition:
                condition.notify_all()
            await barrier.wait()

    log = run(main).events
    assert [action for action, task, _ in actions_of(log, "condition") if task == "waiter"] == [
        "acquired",
        "released",
        "acquired",
        "waited",
        "released",
    ]
    assert ("notified", "main", None) in actions_of(log, "condition")
    assert actions_of(log, "permits") == [("acquired", "waiter", 0), ("released", "waiter", 1)]
    assert [action for action, _, _ in actions_of(log, "barrier")] == ["passed", "waited", "passed"]


def test_a_wait_that_is_given_up_says_since_when() -> None:
    """A time-out and a cancellation end it without what was waited for."""

    async def main(tank: Tank) -> None:
        never = asyncio.Event()
        tank.trace(never)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(never.wait(), 2)

    (event,) = run(main).events.of("traced")
    assert (event.action, event.since, event.at) == ("gave up", 0, 2_000_000_000)


# -- anyio, trio, threads ----------------------------------------------------------------------


@on_both
def test_the_primitives_of_anyio(backend: str) -> None:
    """The same on both backends; both ends of a memory stream, and their clones, are one."""

    async def main(tank: Tank) -> None:
        event, lock, limiter = anyio.Event(), anyio.Lock(), anyio.CapacityLimiter(2)
        permits, condition = anyio.Semaphore(3), anyio.Condition()
        send, receive = anyio.create_memory_object_stream[int](1)
        tank.trace(event, lock, limiter, permits, condition, stream=send)

        async def other() -> None:
            async with lock, limiter, permits, receive.clone() as mine:
                await event.wait()
                assert await mine.receive() == 1
                assert await mine.receive() == 2
            async with condition:
                condition.notify()

        async with anyio.create_task_group() as group:
            group.start_soon(other, name="other")
            await anyio.sleep(1)
            event.set()
            await send.send(1)
            await send.send(2)
            async with lock:
                await send.aclose()
            with anyio.move_on_after(1):
                async with condition:
                    await condition.wait()
        receive.close()

    log = run(main, backend).events
    assert actions_of(log, "event") == [("set", "main", None), ("waited", "other", None)]
    assert [action for action, task, _ in actions_of(log, "lock") if task == "main"] == [
        "waited",
        "acquired",
        "released",
    ]
    assert actions_of(log, "limiter") == [("acquired", "other", 1), ("released", "other", 0)]
    assert actions_of(log, "permits") == [("acquired", "other", 2), ("released", "other", 3)]
    assert [(action, task) for action, task, _ in actions_of(log, "stream") if action in ("put", "got")] == [
        ("put", "main"),
        ("got", "other"),
        ("put", "main"),
        ("got", "other"),
    ]
    assert ("notified", "other", None) in actions_of(log, "condition")


def test_the_primitives_of_trio() -> None:
    """With the name of the task that trio made up, less its module."""

    async def main(tank: Tank) -> None:
        event, limiter = trio.Event(), trio.CapacityLimiter(1)
        send, receive = trio.open_memory_channel[int](5)
        tank.trace(event, limiter, channel=receive)

        async def other() -> None:
            async with limiter:
                await event.wait()
            await send.send(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await trio.sleep(1)
            event.set()
            await receive.receive()

    log = run(main, "trio").events
    other = actions_of(log, "limiter")[0][1]
    assert other.startswith("other#")
    assert actions_of(log, "event") == [("set", "main", None), ("waited", other, None)]
    assert actions_of(log, "limiter") == [("acquired", other, 1), ("released", other, 0)]
    assert actions_of(log, "channel") == [
        ("put", other, 1),
        ("waited", "main", 0),
        ("got", "main", 0),
    ] or actions_of(log, "channel") == [("put", other, 0), ("waited", "main", 0), ("got", "main", 0)]


def test_the_primitives_of_threads() -> None:
    """With the names of the threads; a lock that is not free in time was not acquired."""

    async def main(tank: Tank) -> None:
        event, lock, jobs = threading.Event(), threading.Lock(), queue.Queue[int]()
        tank.trace(event, lock, jobs)

        def work() -> None:
            with lock:
                jobs.put(1)
                event.wait()
            jobs.get()
            jobs.task_done()

        thread = threading.Thread(target=work, name="hand")
        thread.start()
        time.sleep(1)
        assert not lock.acquire(timeout=1)
        event.set()
        jobs.join()
        thread.join()

    log = run(main).events
    assert actions_of(log, "event") == [("set", "main", None), ("waited", "hand", None)]
    assert [one for one in actions_of(log, "lock") if one[1] == "hand"] == [
        ("acquired", "hand", None),
        ("released", "hand", None),
    ]
    assert ("gave up", "main", None) in actions_of(log, "lock")
    assert [action for action, _, _ in actions_of(log, "jobs") if action != "waited"] == [
        "put",
        "got",
        "task_done",
        "joined",
    ]


# -- all of them ---------------------------------------------------------------------------------


@on_both
def test_all_that_the_program_makes_from_there_on(backend: str) -> None:
    """Named by what its line assigns it to; what a library makes for itself is not the program's."""

    class Gate:
        def __init__(self) -> None:
            self.cooldown = anyio.Event()

    async def main(tank: Tank) -> None:
        before = anyio.Event()
        tank.trace()
        before.set()
        gates = [Gate(), Gate()]
        for gate in gates:
            gate.cooldown.set()
        await anyio.to_thread.run_sync(int)
        send, receive = anyio.create_memory_object_stream[int](1)
        async with anyio.create_task_group() as group:
            group.start_soon(send.send, 1)
            await receive.receive()
        send.close()
        receive.close()
        condition = anyio.Condition()
        async with condition:
            pass
        await tank.fake_llm.call("?", item="a")
        (lambda lock: lock.acquire_nowait())(anyio.Lock())

    names = list(dict.fromkeys(event.primitive for event in run(main, backend).events.of("traced")))
    assert names == ["cooldown", "cooldown#2", "send, receive", "condition", "Lock"]


def test_all_of_asyncio_and_threading() -> None:
    """Also those that are made of others: a queue has no event, an event of `threading` no lock."""

    async def main(tank: Tank) -> None:
        tank.trace()
        jobs: asyncio.Queue[int] = asyncio.Queue()
        jobs.put_nowait(1)
        await jobs.get()
        jobs.task_done()
        await jobs.join()
        ready = threading.Event()
        thread = threading.Thread(target=ready.set, name="hand")
        thread.start()
        ready.wait()
        thread.join()
        lock = threading.RLock()
        with lock, lock:
            pass

    log = run(main).events
    assert list(dict.fromkeys(event.primitive for event in log.of("traced"))) == ["jobs", "ready", "lock"]
    assert [action for action, _, _ in actions_of(log, "lock")] == [
        "acquired",
        "acquired",
        "released",
        "released",
    ]


def test_what_cannot_be_traced_is_refused() -> None:
    """The error says what can."""

    async def main(tank: Tank) -> None:
        with pytest.raises(TypeError, match=r"cannot follow list: .* give it events, queues, locks"):
            tank.trace([])
        with pytest.raises(TypeError, match="cannot follow dict"):
            tank.trace(jobs={})

    run(main).check()


# -- the run stays what it was ---------------------------------------------------------------------


def lost_wakeup(trace: bool) -> Program:
    """Who comes late waits for the event that was put in the place of the one which was set."""

    async def main(tank: Tank) -> None:
        if trace:
            tank.trace()
        state = {"cooldown": anyio.Event()}

        async def waiter(item: str) -> None:
            tank.ledger.submit(item)
            tank.ledger.complete(item, (await tank.fake_llm.call("?", item=item)).text)
            await state["cooldown"].wait()

        async def waker() -> None:
            await tank.fake_llm.call("?", item="waker")
            done, state["cooldown"] = state["cooldown"], anyio.Event()
            done.set()

        async with anyio.create_task_group() as group:
            for number in range(2):
                group.start_soon(waiter, f"row-{number}")
            await anyio.lowlevel.checkpoint()
            group.start_soon(waker)

    return main


ALL_AT_ONCE = wavetank.Scenario()


@on_both
def test_a_traced_search_is_the_same_search(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same schedules, token, events and deviations, but for what was traced."""
    monkeypatch.setattr(Trials, "GENTLER_RUNS", 20)
    plain, with_traces = (
        wavetank.search(lost_wakeup(trace), ALL_AT_ONCE, backend=backend, schedules=40)
        for trace in (False, True)
    )
    assert plain.failure is not None
    assert with_traces.failure is not None
    assert with_traces.schedules == plain.schedules
    assert with_traces.failure.schedule == plain.failure.schedule
    assert with_traces.failure.deviations == plain.failure.deviations
    assert rest_of(with_traces.failure) == rest_of(plain.failure)
    assert with_traces.failure.steps == plain.failure.steps
    assert not plain.failure.events.of("traced")
    actions = [event.action for event in with_traces.failure.events.of("traced")]
    assert set(actions) <= {"set", "waited", "waits"}
    assert actions[-1] == "waits"
    again = wavetank.simulate(
        lost_wakeup(True), ALL_AT_ONCE, backend=backend, schedule=plain.failure.schedule
    )
    assert again.events.to_ndjson() == with_traces.failure.events.to_ndjson()


@on_both
def test_a_deadlock_shows_the_last_happenings_beside_the_blocked_tasks(backend: str) -> None:
    """Who set and cleared it, who waits since when; the tasks are described as without it."""

    def program(trace: bool) -> Program:
        async def main(tank: Tank) -> None:
            cooldown = asyncio.Event() if backend == "asyncio" else anyio.Event()
            if trace:
                tank.trace(cooldown)

            async def waiter() -> None:
                await anyio.sleep(2)
                await asyncio_or_anyio_wait(cooldown)

            async def setter() -> None:
                await anyio.sleep(1)
                cooldown.set()
                if isinstance(cooldown, asyncio.Event):
                    cooldown.clear()

            async with anyio.create_task_group() as group:
                group.start_soon(setter, name="setter")
                group.start_soon(waiter, name="waiter")
                if backend == "trio":
                    with trio.CancelScope(shield=True):
                        await trio.Event().wait()

        return main

    async def asyncio_or_anyio_wait(event: Any) -> None:
        await event.wait()

    plain, with_traces = run(program(False), backend), run(program(True), backend)
    assert with_traces.kind == plain.kind == "deadlock"
    assert rest_of(with_traces) == rest_of(plain)
    evidence = with_traces.verdicts["liveness"].evidence
    assert evidence[: len(plain.verdicts["liveness"].evidence)] == plain.verdicts["liveness"].evidence
    lines = evidence[len(plain.verdicts["liveness"].evidence) :]
    assert lines == traced(with_traces.events)
    if backend == "asyncio":
        assert lines == (
            "cooldown: set at 1s by 'setter', cleared at 1s by 'setter'; 'waiter' waits since 2s",
        )
        assert lines[0] in str(with_traces.verdicts["liveness"])
        assert lines[0] in with_traces.report()


def test_what_only_its_waiter_reaches_is_still_out_of_reach() -> None:
    """The trace holds no primitive: the report says that nothing can set the event any more."""

    async def main(tank: Tank) -> None:
        async def wait() -> None:
            event = asyncio.Event()
            tank.trace(lost=event)
            await event.wait()

        await wait()

    (paragraph, line) = run(main).verdicts["liveness"].evidence
    assert "only the tasks that wait for it still refer to it" in paragraph
    assert line == "lost: 'main' waits since 0s"


def test_the_classes_have_their_own_methods_back() -> None:
    """After the run, and while nothing is traced."""
    methods = (asyncio.Event.set, asyncio.Queue.get, trio.Event.wait, threading.Event.set)
    inits = (asyncio.Event.__init__, queue.Queue.__init__)

    async def nothing(tank: Tank) -> None:
        tank.watch("nothing", lambda: 0)
        assert asyncio.Event.set is methods[0]

    async def main(tank: Tank) -> None:
        tank.trace()
        assert asyncio.Event.set is not methods[0]

    run(nothing).check()
    run(main).check()
    assert (asyncio.Event.set, asyncio.Queue.get, trio.Event.wait, threading.Event.set) == methods
    assert (asyncio.Event.__init__, queue.Queue.__init__) == inits


@pytest.mark.parametrize("mark", ["", '@pytest.mark.llm_clock("real")'])
def test_in_a_test_with_pytest(pytester: pytest.Pytester, mark: str) -> None:
    """In virtual and in real time; a test that fails shows it."""
    pytester.makepyfile(f"""
        import asyncio
        import pytest

        @pytest.mark.asyncio
        {mark}
        async def test_it(tank):
            cooldown = asyncio.Event()
            tank.trace(cooldown)
            cooldown.set()
            cooldown.clear()
            assert [event.action for event in tank.events.of("traced")] == ["set", "cleared"]
            assert tank.events[0].task
            raise KeyError
    """)
    result = pytester.runpytest("-p", "no:langsmith_plugin")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["cooldown: set at * by '*', cleared at * by '*'"])
