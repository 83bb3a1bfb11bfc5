"""Threads of a run take turns in virtual time, beside event loops and real threads, and end with it."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import logging
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

from wavetank.clock import real_now
from wavetank.patches.virtual import virtual_process
from wavetank.sim.asyncio_loop import SimulatedLoop
from wavetank.sim.asyncio_run import run_asyncio
from wavetank.sim.ended import Ended
from wavetank.sim.errors import Deadlock, RunOver, ThreadStuck, TimeBudgetSpent
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers

T = TypeVar("T")


def run(program: Callable[[], T], *, limit: int | None = None) -> T:
    """Run a sync program in virtual time."""
    scheduler = Scheduler(Timers(limit=limit))
    with virtual_process(scheduler):
        try:
            return program()
        finally:
            scheduler.close()


def run_async(main: Callable[[], Any]) -> tuple[Ended, Scheduler]:
    """Run an async program in virtual time."""
    scheduler = Scheduler(Timers())
    with virtual_process(scheduler):
        try:
            return run_asyncio(main, scheduler, started=lambda _: None, ended=lambda _: None), scheduler
        finally:
            scheduler.close()


def start(*targets: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=target) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def now() -> float:
    return time.monotonic()


# -- threads ------------------------------------------------------------------------------------


def test_threads_overlap_in_virtual_time() -> None:
    """Threads that sleep do so side by side, and each wakes at its own instant."""

    def program() -> list[tuple[int, float]]:
        out: list[tuple[int, float]] = []

        def work(number: int) -> None:
            time.sleep(10 - number)
            out.append((number, now()))

        join(start(*(lambda number=number: work(number) for number in range(5))))
        return [*out, (-1, now())]

    assert run(program) == [(4, 6.0), (3, 7.0), (2, 8.0), (1, 9.0), (0, 10.0), (-1, 10.0)]


def test_a_started_thread_waits_for_its_turn() -> None:
    """A thread that starts others runs until it blocks; they then run in the order of their start."""

    def program() -> list[int]:
        out: list[int] = []
        threads = start(*(lambda number=number: out.append(number) for number in range(5)))
        out.append(-1)
        join(threads)
        return out

    assert run(program) == [-1, 0, 1, 2, 3, 4]


def test_a_thread_that_starts_threads() -> None:
    """Threads of threads belong to the run as well."""

    def program() -> list[str]:
        out: list[str] = []

        def inner() -> None:
            time.sleep(1)
            out.append(f"inner {now()}")

        def outer() -> None:
            join(start(inner, inner))
            time.sleep(1)
            out.append(f"outer {now()}")

        join(start(outer))
        return out

    assert run(program) == ["inner 1.0", "inner 1.0", "outer 2.0"]


def test_join_with_a_timeout() -> None:
    """A join that times out returns at its instant, and a later end of the thread wakes no task."""

    def program() -> list[float | bool]:
        (thread,) = start(lambda: time.sleep(5))
        out: list[float | bool] = []
        thread.join(1)
        out += [now(), thread.is_alive()]
        time.sleep(100)
        out += [now(), thread.is_alive()]
        thread.join(1)
        return [*out, now()]

    assert run(program) == [1.0, True, 101.0, False, 101.0]


def test_join_from_several_threads() -> None:
    """Everyone who joins a thread goes on when it ends."""

    def program() -> list[float]:
        out: list[float] = []
        (slow,) = start(lambda: time.sleep(3))

        def joiner() -> None:
            slow.join()
            out.append(now())

        join(start(joiner, joiner, joiner))
        return out

    assert run(program) == [3.0, 3.0, 3.0]


def test_misuse_of_a_thread_fails_as_usual() -> None:
    """Joining oneself or a thread that was not started, and starting twice, are the usual errors."""

    def program() -> None:
        with pytest.raises(RuntimeError, match="cannot join current thread"):
            threading.current_thread().join()
        thread = threading.Thread(target=lambda: None)
        with pytest.raises(RuntimeError, match="cannot join thread before it is started"):
            thread.join()
        assert not thread.is_alive()
        thread.start()
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            thread.start()
        errors: list[str] = []

        def joins_itself() -> None:
            try:
                threading.current_thread().join()
            except RuntimeError as error:
                errors.append(str(error))

        join([thread, *start(joins_itself)])
        assert errors == ["cannot join current thread"]

    run(program)


def test_polling_a_thread_is_exact() -> None:
    """A thread is alive from its start to the instant of its end, however the machine schedules it."""

    def program() -> list[float]:
        (thread,) = start(lambda: time.sleep(1))
        seen: list[float] = []
        while thread.is_alive():
            seen.append(now())
            time.sleep(0.25)
        return seen

    for _ in range(20):
        assert run(program) == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_an_exception_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes to `threading.excepthook`, as ever, and the run goes on."""
    seen: list[tuple[object, str | None]] = []
    monkeypatch.setattr(
        threading, "excepthook", lambda args: seen.append((args.exc_type, args.thread and args.thread.name))
    )

    def program() -> float:
        def fails() -> None:
            time.sleep(2)
            raise ValueError("in a thread")

        thread = threading.Thread(target=fails, name="failing")
        thread.start()
        thread.join()
        return now()

    assert run(program) == 2.0
    assert seen == [(ValueError, "failing")]


def test_thread_locals() -> None:
    """Each thread of the run has its own."""

    def program() -> list[int]:
        local, out = threading.local(), list[int]()

        def work(number: int) -> None:
            local.number = number
            time.sleep(1)
            out.append(local.number)

        join(start(*(lambda number=number: work(number) for number in range(4))))
        assert not hasattr(local, "number")
        return out

    assert run(program) == [0, 1, 2, 3]


def test_names_count_up_in_each_run() -> None:
    """Threads and pools without a name are numbered from the start of the run."""

    def program() -> list[str]:
        names: list[str] = []

        def note() -> None:
            names.append(threading.current_thread().name.partition(" ")[0])

        join(start(note, note))
        for _ in range(2):
            with cf.ThreadPoolExecutor() as pool:
                pool.submit(note)
        return names

    first = run(program)
    assert first[:2] == ["Thread-1", "Thread-2"]
    assert len(set(first)) == 4
    assert run(program) == first


def test_a_subclass_of_thread() -> None:
    """A thread with its own `run`, and one that is a daemon, take turns like any other."""

    class Worker(threading.Thread):
        done = 0.0

        def run(self) -> None:
            time.sleep(4)
            self.done = now()

    def program() -> float:
        worker = Worker(daemon=True)
        worker.start()
        worker.join()
        return worker.done

    assert run(program) == 4.0


def test_a_timer_thread() -> None:
    """`threading.Timer` fires at its instant, or not at all when it is cancelled."""

    def program() -> list[float]:
        out: list[float] = []
        timer, off = threading.Timer(5, lambda: out.append(now())), threading.Timer(6, lambda: out.append(-1))
        timer.start()
        off.start()
        time.sleep(1)
        off.cancel()
        join([timer, off])
        return [*out, now()]

    assert run(program) == [5.0, 5.0]


# -- with an event loop --------------------------------------------------------------------------------


def test_to_thread_from_asyncio() -> None:
    """Worker threads of asyncio and anyio sleep side by side, and may call back into the loop."""

    async def main() -> list[float]:
        out: list[float] = []
        sleeps = [asyncio.to_thread(time.sleep, 5) for _ in range(3)]
        await asyncio.gather(*sleeps, anyio.to_thread.run_sync(time.sleep, 7))
        out.append(now())
        await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(anyio.sleep, 3))
        out.append(now())
        await anyio.to_thread.run_sync(lambda: anyio.from_thread.run_sync(lambda: out.append(now())))
        return out

    assert run_async(main)[0].value == [7.0, 10.0, 10.0]


def test_the_loop_runs_on_while_a_thread_sleeps() -> None:
    """Tasks take their turns while a worker thread waits."""

    async def main() -> list[tuple[str, float]]:
        out: list[tuple[str, float]] = []

        async def ticks() -> None:
            for _ in range(3):
                await asyncio.sleep(1)
                out.append(("tick", now()))

        task = asyncio.create_task(ticks())
        await asyncio.to_thread(time.sleep, 2.5)
        out.append(("thread", now()))
        await task
        return out

    assert run_async(main)[0].value == [("tick", 1.0), ("tick", 2.0), ("thread", 2.5), ("tick", 3.0)]


def test_a_blocking_sleep_in_a_coroutine_lets_threads_go_on() -> None:
    """It stops the loop, not the other threads."""

    async def main() -> list[tuple[str, float]]:
        out: list[tuple[str, float]] = []

        def work() -> None:
            time.sleep(1)
            out.append(("thread", now()))

        threads = start(work)
        asyncio.get_running_loop().call_later(2, lambda: out.append(("loop", now())))
        time.sleep(4)
        out.append(("main", now()))
        await asyncio.sleep(1)
        join(threads)
        return out

    assert run_async(main)[0].value == [("thread", 1.0), ("main", 4.0), ("loop", 4.0)]


def test_a_step_that_blocks_lets_a_thread_wake_at_its_instant() -> None:
    """Also if the thread's sleep ends at the instant of that step, and the step comes first."""

    async def main() -> float:
        done = threading.Event()

        def work() -> None:
            time.sleep(1)
            done.set()

        asyncio.get_running_loop().call_later(1, done.wait)
        threads = start(work)
        await asyncio.sleep(1)
        join(threads)
        return now()

    end, _ = run_async(main)
    assert (end.error, end.value) == (None, 1.0)


def test_a_loop_in_a_thread() -> None:
    """A background loop in a thread of the run shares its time, and is reached from outside as ever."""

    async def main() -> tuple[float, float]:
        scheduler = asyncio.get_running_loop().scheduler  # type: ignore[attr-defined]
        loop, stop = SimulatedLoop(scheduler), asyncio.Event()

        def serve() -> None:
            loop.run_until_complete(stop.wait())
            loop.close()

        async def work() -> float:
            await asyncio.sleep(5)
            return now()

        threads = start(serve)
        there = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))
        loop.call_soon_threadsafe(stop.set)
        await asyncio.to_thread(join, threads)
        return there, now()

    assert run_async(main)[0].value == (5.0, 5.0)


def test_a_loop_that_ends_leaves_the_timers_of_others() -> None:
    """When a loop in a thread is torn down at the instant another thread's sleep ends, that one wakes."""

    async def main() -> list[tuple[str, float]]:
        scheduler = asyncio.get_running_loop().scheduler  # type: ignore[attr-defined]
        out: list[tuple[str, float]] = []

        def serve() -> None:
            loop = SimulatedLoop(scheduler)
            loop.call_later(1, exit_now)
            with suppress(SystemExit):
                loop.run_forever()
            loop.close()
            out.append(("served", now()))

        def exit_now() -> None:
            raise SystemExit

        def sleep() -> None:
            time.sleep(1)
            out.append(("slept", now()))

        await asyncio.gather(asyncio.to_thread(serve), asyncio.to_thread(sleep), asyncio.to_thread(sleep))
        return sorted(out)

    end, _ = run_async(main)
    assert end.value == [("served", 1.0), ("slept", 1.0), ("slept", 1.0)]


# -- how it ends -----------------------------------------------------------------------------------------


def test_a_deadlock_of_threads() -> None:
    """Two threads that want each other's lock are reported: their names, places and what they wait for."""

    def program() -> None:
        first, second = threading.Lock(), threading.Lock()

        def one() -> None:
            with first:
                time.sleep(1)
                second.acquire()

        def two() -> None:
            with second:
                time.sleep(1)
                first.acquire()

        threads = [threading.Thread(target=one, name="one"), threading.Thread(target=two, name="two")]
        for thread in threads:
            thread.start()
        join(threads)

    before = threading.enumerate()
    with pytest.raises(Deadlock) as caught:
        run(program)
    assert caught.value.headline == (
        "deadlock at 1s: nothing can run, no timer is set, 0 task(s) and 3 thread(s) blocked"
    )
    text = str(caught.value)
    assert "waits in join of thread 'one'" in text
    for name in ("one", "two"):
        assert f"thread {name!r}" in text
        assert f"test_a_deadlock_of_threads.<locals>.program.<locals>.{name}" in text
    assert text.count("waits in a lock") == 2
    assert [thread for thread in threading.enumerate() if thread not in before] == []


def test_a_deadlock_reads_the_same_in_every_run() -> None:
    """The report names the same threads in the same order each time."""

    def program() -> None:
        with cf.ThreadPoolExecutor(8) as pool:
            for _ in range(8):
                pool.submit(threading.Event().wait)

    def deadlock_text() -> str:
        with pytest.raises(Deadlock) as caught:
            run(program)
        return str(caught.value)

    assert len({deadlock_text() for _ in range(5)}) == 1


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError], ids=lambda error: error.__name__)
def test_what_a_thread_raises_as_its_run_ends_is_not_reported(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unwound there, and its clean-up may raise because the run is over."""
    heard: list[object] = []
    monkeypatch.setattr(threading, "excepthook", heard.append)

    def with_a_clean_up_that_fails() -> None:
        try:
            time.sleep(1000)
        finally:
            heard.append("cleaned up")
            raise error

    def program() -> None:
        start(with_a_clean_up_that_fails)
        time.sleep(1)

    run(program)
    assert heard == ["cleaned up"]


@pytest.mark.parametrize("stopped_by", [ValueError, KeyboardInterrupt, SystemExit])
def test_no_thread_survives_a_run(stopped_by: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait, sleep, or were never reached end with the run, with their clean-ups, in silence."""
    monkeypatch.setattr(threading, "excepthook", lambda args: pytest.fail(f"heard of {args}"))
    out: list[str] = []
    made: list[threading.Thread] = []

    def program() -> None:
        def waits() -> None:
            try:
                threading.Event().wait()
            finally:
                out.append("cleaned up")
                time.sleep(100)
                out.append("too late")

        def starts_another() -> None:
            try:
                time.sleep(1000)
            finally:
                made.extend(start(lambda: out.append("too late")))

        made.extend(start(waits, lambda: time.sleep(1000), starts_another))
        pool = cf.ThreadPoolExecutor(2)
        for _ in range(4):
            pool.submit(threading.Event().wait)
        time.sleep(1)
        made.extend(start(lambda: out.append("too late")))
        raise stopped_by

    before = threading.enumerate()
    with pytest.raises(stopped_by):
        run(program)
    assert [thread for thread in threading.enumerate() if thread not in before] == []
    assert out == ["cleaned up"]
    assert len(made) == 5
    join(made)
    assert not any(thread.is_alive() for thread in made)


def test_an_executor_does_not_log_the_end_of_the_run(caplog: pytest.LogCaptureFixture) -> None:
    """That its workers were unwound is no news; what a worker itself did wrong still is."""

    def program() -> None:
        pool = cf.ThreadPoolExecutor(1)
        pool.submit(threading.Event().wait)
        time.sleep(1)

    with caplog.at_level(logging.DEBUG, logger="concurrent.futures"):
        run(program)
        assert caplog.records == []
    assert not logging.getLogger("concurrent.futures").filters


def test_the_end_of_the_run_does_not_reach_the_main_thread() -> None:
    """The main thread may still sleep and wait while the run is taken down."""
    scheduler = Scheduler(Timers())
    with virtual_process(scheduler):
        threads = start(lambda: time.sleep(1000))
        time.sleep(1)
        scheduler.close()
        time.sleep(2)
        assert now() == 3.0
        join(threads)
        assert not threading.Event().wait(4)
        assert now() == 7.0


def test_a_thread_started_after_the_end_does_nothing() -> None:
    """It ends at once."""
    out: list[int] = []
    scheduler = Scheduler(Timers())
    with virtual_process(scheduler):
        scheduler.close()
        join(start(lambda: out.append(1)))
    assert out == []


def test_the_time_budget_ends_a_retry_loop() -> None:
    """A sync program that retries whatever fails is stopped by its budget."""

    def program() -> None:
        while True:
            try:
                time.sleep(60)
                raise ConnectionError
            except Exception:
                continue

    with pytest.raises(TimeBudgetSpent, match="the run went past 1h of virtual time"):
        run(program, limit=3600 * 10**9)


def test_the_time_budget_ends_a_retry_loop_in_a_thread() -> None:
    """So is one in a thread: a task on the main thread that waits for it gets it."""

    def retry() -> None:
        while True:
            with suppress(Exception):
                time.sleep(60)

    with pytest.raises(TimeBudgetSpent):
        run(lambda: join(start(retry)), limit=3600 * 10**9)


def test_unwinding_is_an_exit() -> None:
    """What unwinds a thread is no `Exception`, so that `except Exception` lets it through."""
    assert not issubclass(RunOver, Exception)


# -- real threads and real locks ---------------------------------------------------------------------------


def test_a_foreign_thread_keeps_real_time() -> None:
    """A thread from before the run reads the machine's clocks and really sleeps beside a run."""
    go, seen = threading.Event(), list[int]()

    def foreign() -> None:
        go.wait()
        seen.append(time.monotonic_ns())
        time.sleep(0.001)
        seen.append(time.monotonic_ns())
        seen.append(time.time_ns())
        with threading.Lock(), threading.RLock():
            seen.append(time.perf_counter_ns())

    thread = threading.Thread(target=foreign)
    thread.start()
    started, started_wall = real_now(), time.time_ns()

    def program() -> float:
        time.sleep(1000)
        go.set()
        thread.join()
        return now()

    assert run(program) == 1000.0
    assert started <= seen[0] <= seen[1] - 1_000_000 <= real_now()
    assert started_wall <= seen[2] <= time.time_ns()


def test_a_foreign_thread_may_use_a_lock_of_the_run() -> None:
    """A lock of the run that is free works from any thread."""

    def program() -> list[bool]:
        lock, out = threading.Lock(), list[bool]()
        go.append(lambda: out.append(lock.acquire()))
        ready.set()
        thread.join()
        return [*out, lock.locked()]

    go: list[Callable[[], None]] = []
    ready = threading.Event()

    def foreign() -> None:
        ready.wait()
        go[0]()

    thread = threading.Thread(target=foreign)
    thread.start()
    assert run(program) == [True, True]


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give threads a fifth of a second."""
    monkeypatch.setattr("wavetank.sim.scheduler.PATIENCE", 0.2)


@pytest.mark.usefixtures("_impatient")
def test_a_thread_stuck_on_a_real_lock() -> None:
    """A thread that waits for a lock from before the run is reported with the place and the fix."""
    lock = threading.Lock()
    lock.acquire()
    threads: list[threading.Thread] = []

    def stuck_here() -> None:
        with lock:
            pass

    def program() -> None:
        threads.extend(start(stuck_here, lambda: time.sleep(1000)))
        join(threads)

    before = threading.enumerate()
    with pytest.raises(ThreadStuck) as caught:
        run(program)
    text = str(caught.value)
    assert "a thread of the run neither blocked nor ended in 0.2 s of real time" in text
    assert "stuck_here" in text
    assert "make the lock inside the test" in text
    assert '@pytest.mark.llm_clock("real")' in text

    assert run(lambda: join(start(lambda: time.sleep(5)))) is None
    lock.release()
    threads[0].join()
    assert [thread for thread in threading.enumerate() if thread not in before] == []
    assert run(lambda: join(start(lambda: time.sleep(5)))) is None


@pytest.mark.usefixtures("_impatient")
def test_a_stuck_thread_under_asyncio() -> None:
    """The same comes out of a run of asyncio, and is not logged away by the loop."""
    lock = threading.Lock()
    lock.acquire()

    async def main() -> None:
        await asyncio.to_thread(lock.acquire)

    before = threading.enumerate()
    with pytest.raises(ThreadStuck, match="make the lock inside the test"):
        run_async(main)
    assert run_async(lambda: asyncio.to_thread(time.sleep, 1))[0].how == "returned"
    (stuck,) = (thread for thread in threading.enumerate() if thread not in before)
    lock.release()
    stuck.join()


@pytest.mark.usefixtures("_impatient")
def test_a_stuck_thread_does_not_keep_the_others() -> None:
    """Threads that can unwind do so, although one of them cannot."""
    lock, out = threading.Lock(), list[str]()
    lock.acquire()

    def stuck_while_unwinding() -> None:
        try:
            time.sleep(1000)
        finally:
            lock.acquire()

    def unwinds() -> None:
        try:
            time.sleep(1000)
        finally:
            out.append("unwound")

    threads: list[threading.Thread] = []

    def program() -> None:
        threads.extend(start(stuck_while_unwinding, unwinds))
        time.sleep(1)

    with pytest.raises(ThreadStuck):
        run(program)
    assert out == ["unwound"]
    lock.release()
    threads[0].join()


def test_ctrl_c_while_a_thread_runs() -> None:
    """An interrupt comes out on the main thread once the running thread blocks; turns go on in order."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.main_thread().ident
    assert main is not None

    def program() -> list[object]:
        out: list[object] = []

        def interrupts() -> None:
            signal.pthread_kill(main, signal.SIGINT)
            out.append("still running")
            time.sleep(1)
            out.append(now())

        threads = start(interrupts)
        try:
            time.sleep(3)
        except KeyboardInterrupt:
            out.append("interrupted")
        time.sleep(5)
        join(threads)
        return [*out, now()]

    try:
        for _ in range(50):
            assert run(program) == ["still running", "interrupted", 1.0, 5.0]
    finally:
        signal.signal(signal.SIGINT, before)


# -- nesting and giving back ---------------------------------------------------------------------------------


def test_a_run_inside_a_run() -> None:
    """A run started from a sync part of another has its own time and threads."""

    def inner() -> float:
        join(start(lambda: time.sleep(3)))
        return now()

    def program() -> list[float]:
        threads = start(lambda: time.sleep(10))
        time.sleep(1)
        out = [now(), run(inner), now()]
        join(threads)
        return [*out, now()]

    assert run(program) == [1.0, 3.0, 1.0, 10.0]


def test_everything_is_given_back() -> None:
    """After a run the process has its own threads, locks and queues again, also after an error."""
    names = [
        (threading, "Lock"),
        (threading, "RLock"),
        (threading, "_allocate_lock"),
        (threading, "_counter"),
        (threading.Thread, "join"),
        (threading.Thread, "is_alive"),
        (threading.Thread, "__init__"),
        (threading.Thread, "__hash__"),
        (queue, "SimpleQueue"),
        (cf.ThreadPoolExecutor, "_counter"),
        (cf.Future, "__init__"),
        (cf.Future, "__hash__"),
    ]
    before = [getattr(owner, name) for owner, name in names]
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)
    assert [getattr(owner, name) for owner, name in names] == before
