"""trio's own scheduler in virtual time: driven by hand, and under `trio.run` and guest runs."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
import trio
import trio.testing
from anyio.abc import TestRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from wavetank.clock import HOUR, SECOND
from wavetank.patches.trio_hooks import trio_threads, trio_under
from wavetank.patches.virtual import virtual_process
from wavetank.sim.asyncio_run import run_asyncio
from wavetank.sim.ended import Ended
from wavetank.sim.errors import Deadlock, RealInputOutput, RunStopped, ThreadStuck
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers
from wavetank.sim.trio_run import TrioEngine, run_trio

from ..depth import n_of

T = TypeVar("T")
Main = Callable[[], Coroutine[Any, Any, Any]]


def run(main: Main, *, limit: int | None = None) -> Ended:
    """Run `main` on trio in virtual time."""
    scheduler = Scheduler(Timers(limit=limit))
    with virtual_process(scheduler), trio_threads(scheduler):
        try:
            return run_trio(main, scheduler, started=lambda _: None, ended=lambda _: None)
        finally:
            scheduler.close()


def value_of(main: Main) -> Any:
    """What `main` returned; it must not have ended otherwise."""
    end = run(main)
    assert end.error is None
    assert end.how == "returned"
    return end.value


@contextmanager
def hosted(*, limit: int | None = None) -> Iterator[Scheduler]:
    """A stretch of virtual time in which somebody else calls `trio.run`."""
    scheduler = Scheduler(Timers(limit=limit))
    engines: list[TrioEngine] = []
    with virtual_process(scheduler), trio_under(scheduler, engines.append):
        try:
            yield scheduler
        finally:
            scheduler.close()
            for engine in engines:
                engine.dispose()


async def two_seconds() -> float:
    start = trio.current_time()
    await trio.sleep(2)
    return trio.current_time() - start


def assert_trio_is_real() -> None:
    """A run of trio outside of virtual time works, on the system clock and on a mock clock."""
    assert not trio.lowlevel.in_trio_run()

    async def reads_both_clocks() -> tuple[float, float]:
        before = time.monotonic()
        await trio.sleep(0.001)
        return before, time.monotonic()

    before, after = trio.run(reads_both_clocks)
    assert after - before >= 0.001
    assert trio.run(two_seconds, clock=trio.testing.MockClock(autojump_threshold=0)) == 2.0


# -- time -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0, 1e-9, 1.0, 3600.0, 30 * 86_400.0])
def test_a_sleep_is_exact(delay: float) -> None:
    """A sleep of no time, of a nanosecond, of an hour and of a month ends at its instant."""

    async def main() -> float:
        await trio.sleep(delay)
        return trio.current_time()

    assert value_of(main) == delay


def test_every_clock_is_the_run_s() -> None:
    """trio's clock and the process's show the same time."""

    async def main() -> tuple[float, float, float]:
        await trio.sleep(4)
        return trio.current_time(), time.monotonic(), anyio.current_time()

    assert value_of(main) == (4.0, 4.0, 4.0)


@settings(max_examples=n_of(25, 2000))
@given(st.lists(st.floats(1e-9, 100), min_size=1, max_size=20))
def test_cumulative_deadlines_are_never_early(delays: list[float]) -> None:
    """Deadlines built from float sums are reached in one go, never before their time."""

    async def main() -> None:
        for delay in delays:
            start = trio.current_time()
            with trio.move_on_after(delay) as scope:
                await trio.sleep_forever()
            assert scope.cancelled_caught
            assert start + delay <= trio.current_time() <= start + delay + 3e-9

    value_of(main)


def test_a_deadline_that_moves() -> None:
    """Time goes to the deadline that holds, not to one that was set before."""

    async def main() -> list[float]:
        out: list[float] = []
        with trio.CancelScope(deadline=5) as scope:
            await trio.sleep(1)
            scope.deadline = 10
            await trio.sleep_forever()
        out.append(trio.current_time())
        with trio.CancelScope(deadline=100) as scope:
            await trio.sleep(1)
            scope.deadline = 12
            await trio.sleep_forever()
        out.append(trio.current_time())
        with trio.CancelScope(deadline=50) as scope:
            scope.deadline = math.inf
            await trio.sleep(1)
        return [*out, trio.current_time()]

    assert value_of(main) == [10.0, 12.0, 13.0]


def test_children_run_in_creation_order() -> None:
    """A nursery's children take their steps in the order they were started, at the start and at each wake."""

    async def main() -> list[tuple[int, float]]:
        out: list[tuple[int, float]] = []

        async def child(number: int) -> None:
            for _ in range(3):
                out.append((number, trio.current_time()))
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(child, number)
        return out

    assert value_of(main) == [(number, float(at)) for at in range(3) for number in range(30)]


# -- idleness ----------------------------------------------------------------------------------------


def test_wait_all_tasks_blocked() -> None:
    """It returns without time passing, once every other task waits."""

    async def main() -> list[object]:
        out: list[object] = []

        async def busy() -> None:
            for number in range(5):
                await trio.lowlevel.checkpoint()
                out.append(number)
            await trio.sleep(10)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(busy)
            await trio.testing.wait_all_tasks_blocked()
            out.append(trio.current_time())
            nursery.cancel_scope.cancel()
        return out

    assert value_of(main) == [0, 1, 2, 3, 4, 0.0]


def test_wait_all_tasks_blocked_with_a_cushion() -> None:
    """With a cushion it returns when nothing has run for that long, whatever timers lie between."""

    async def main() -> list[float]:
        out: list[float] = []

        async def ticks() -> None:
            for delay in (0.5, 0.9, 0.1, 5.0, 1.0):
                await trio.sleep(delay)
                out.append(-trio.current_time())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticks)
            await trio.testing.wait_all_tasks_blocked(1.0)
            out.append(trio.current_time())
            await trio.testing.wait_all_tasks_blocked(0.25)
            out.append(trio.current_time())
            await trio.testing.wait_all_tasks_blocked(2.0)
            out.append(trio.current_time())
        return out

    assert value_of(main) == [-0.5, -1.4, -1.5, 2.5, 2.75, 4.75, -6.5, -7.5]


def test_waiting_for_idleness_beside_threads() -> None:
    """Threads that sleep do not hold it up; threads that are about to run go first."""

    async def main() -> list[object]:
        out: list[object] = []

        def work() -> None:
            out.append("thread")
            time.sleep(3)
            out.append(time.monotonic())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, work)
            await trio.testing.wait_all_tasks_blocked()
            await trio.testing.wait_all_tasks_blocked(0.5)
            out.append(trio.current_time())
        return out

    assert value_of(main) == ["thread", 0.5, 3.0]


# -- threads -------------------------------------------------------------------------------------------


def test_to_thread() -> None:
    """Worker threads sleep side by side, and call back into trio."""

    async def main() -> list[object]:
        out: list[object] = []
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(trio.to_thread.run_sync, time.sleep, 10)
        out.append(trio.current_time())
        await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(anyio.sleep, 7))
        out.append(trio.current_time())
        out.append(await trio.to_thread.run_sync(lambda: trio.from_thread.run_sync(trio.current_time)))
        with pytest.raises(ZeroDivisionError):
            await trio.to_thread.run_sync(lambda: 1 // 0)
        return out

    assert value_of(main) == [10.0, 17.0, 17.0]


def test_a_thread_that_is_left_behind() -> None:
    """A thread that may be abandoned is, at the deadline, and ends with the run."""
    before = threading.enumerate()

    async def main() -> float:
        with trio.move_on_after(2):
            await trio.to_thread.run_sync(time.sleep, 1000, abandon_on_cancel=True)
        return trio.current_time()

    assert value_of(main) == 2.0
    assert [thread for thread in threading.enumerate() if thread not in before] == []


def test_a_portal_between_threads() -> None:
    """A token lets a thread hand work to the run at any time."""

    async def main() -> list[float]:
        out: list[float] = []
        token = trio.lowlevel.current_trio_token()

        def work() -> None:
            for _ in range(3):
                time.sleep(1)
                token.run_sync_soon(lambda: out.append(trio.current_time()))

        await trio.to_thread.run_sync(work)
        await trio.sleep(1)
        return out

    assert value_of(main) == [1.0, 2.0, 3.0]


def test_a_run_blocked_in_a_thread_unwinds() -> None:
    """A task that waits for a blocked thread unwinds after that thread."""
    out: list[str] = []
    before = threading.enumerate()

    def forever() -> None:
        try:
            threading.Event().wait()
        finally:
            out.append("thread")

    async def main() -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, forever)
        finally:
            out.append("main")

    end = run(main)
    assert end.how == "deadlock"
    assert "waits in Event.wait" in end.blocked[-1]
    assert out == ["thread", "main"]
    assert [thread for thread in threading.enumerate() if thread not in before] == []
    assert_trio_is_real()


# -- ends ------------------------------------------------------------------------------------------------


async def swallows() -> None:
    while True:
        with suppress(trio.Cancelled):
            await trio.sleep_forever()


async def spins() -> None:
    while True:
        with suppress(trio.Cancelled):
            await trio.lowlevel.checkpoint()


async def shields() -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


@pytest.mark.usefixtures("soon_dropped")
@pytest.mark.parametrize("stubborn", [swallows, shields])
def test_tasks_that_will_not_be_cancelled(stubborn: Main) -> None:
    """A deadlocked run whose tasks hold off their cancellation still unwinds, with its clean-ups."""
    out: list[str] = []

    async def main() -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stubborn)
                nursery.start_soon(stubborn)
        finally:
            out.append("main")

    assert run(main).how == "deadlock"
    assert out == ["main"]
    assert_trio_is_real()


@pytest.mark.usefixtures("soon_dropped")
def test_a_spin_that_will_not_be_cancelled() -> None:
    """So does one whose budget of time is spent beside a task that spins."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            try:
                await trio.sleep(5 * 3600)
            finally:
                nursery.start_soon(spins)

    assert run(main, limit=HOUR).how == "time"
    assert_trio_is_real()


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, pytest.skip.Exception])
def test_what_is_no_exception_propagates(kind: type[BaseException]) -> None:
    """Ctrl-C, an exit and a skip come out of the run, which leaves trio usable."""

    async def main() -> None:
        await trio.sleep(1)
        raise kind("out")

    with pytest.raises(kind, match="out"):
        run(main)
    assert_trio_is_real()


@contextmanager
def default_sigint() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_real_interrupt_reaches_main() -> None:
    """A signal that arrives while a task runs is raised in the program, and trio's handler is taken away."""

    async def main() -> None:
        signal.raise_signal(signal.SIGINT)
        await trio.sleep(1000)

    with default_sigint():
        with pytest.raises(KeyboardInterrupt):
            run(main)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_of_the_engine_leaves_trio_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that is stuck for real time comes out as such, and the next run of trio works."""
    monkeypatch.setattr("wavetank.sim.scheduler.PATIENCE", 0.2)
    lock = threading.Lock()
    lock.acquire()
    before = threading.enumerate()

    async def main() -> None:
        await trio.to_thread.run_sync(lock.acquire)

    with pytest.raises(ThreadStuck, match="make the lock inside the test"):
        run(main)
    (stuck,) = (thread for thread in threading.enumerate() if thread not in before)
    lock.release()
    stuck.join()
    assert_trio_is_real()
    assert value_of(two_seconds) == 2.0


def test_an_error_before_the_first_step_leaves_trio_usable() -> None:
    """Whoever is told of the engine may refuse it."""
    scheduler = Scheduler(Timers())

    def refuse(_: TrioEngine) -> None:
        raise ValueError("not this one")

    with virtual_process(scheduler), pytest.raises(ValueError, match="not this one"):
        run_trio(two_seconds, scheduler, started=refuse, ended=lambda _: None)
    assert_trio_is_real()


def test_a_run_inside_a_running_loop_is_refused() -> None:
    """A run starts neither inside a run of trio nor inside a loop of asyncio, on either backend."""

    def refused() -> None:
        for engine in (run_trio, run_asyncio):
            with pytest.raises(RuntimeError, match="running event loop: call it from a sync function"):
                engine(two_seconds, Scheduler(Timers()), started=lambda _: None, ended=lambda _: None)

    async def main() -> None:
        refused()
        await anyio.sleep(0)

    trio.run(main)
    anyio.run(main, backend="asyncio")
    assert value_of(main) is None


def test_async_generators_are_shut_down() -> None:
    """A generator that was left half-way is closed at the end of the run."""
    closed: list[float] = []
    kept: list[AsyncIterator[int]] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(trio.current_time())

    async def main() -> int:
        kept.append(numbers())
        await trio.sleep(1)
        return await anext(kept[0])

    assert value_of(main) == 1
    assert closed == [1.0]


def test_real_input_and_output_is_refused() -> None:
    """Waiting for a file descriptor, and connecting, are refused with the fix."""

    async def main() -> list[str]:
        texts: list[str] = []
        for call in (
            lambda: trio.lowlevel.wait_readable(0),
            lambda: trio.open_tcp_stream("127.0.0.1", 9),
            lambda: anyio.connect_tcp("example.com", 443),
        ):
            with pytest.raises((RealInputOutput, ExceptionGroup)) as caught:
                await call()
            error = caught.value
            texts.append(repr(error))
        return texts

    for text in value_of(main):
        assert "RealInputOutput" in text
        assert "llm_clock" in text


def test_subprocesses_are_refused_before_they_start() -> None:
    """No child process is left behind, and the error names the call."""

    async def main() -> list[str]:
        texts: list[str] = []
        for call in (
            lambda: trio.run_process([sys.executable, "-V"]),
            lambda: trio.lowlevel.open_process([sys.executable, "-V"]),
            lambda: anyio.run_process([sys.executable, "-V"]),
        ):
            with pytest.raises((RealInputOutput, ExceptionGroup)) as caught:
                await call()
            texts.append(repr(caught.value))
        return texts

    for text in value_of(main):
        assert "trio.lowlevel.open_process() wants real input or output" in text
        assert "llm_clock" in text


# -- runs that others start ----------------------------------------------------------------------------


def test_trio_run_is_virtual() -> None:
    """`trio.run`, also by an old reference, and `anyio.run` go in the test's time, one after the other."""
    old_reference = trio.run
    with hosted() as scheduler:
        assert trio.run(two_seconds) == 2.0
        assert old_reference(two_seconds) == 2.0
        assert anyio.run(two_seconds, backend="trio") == 2.0
        assert trio.run(two_seconds, clock=trio.testing.MockClock()) == 2.0
        time.sleep(2)
        assert scheduler.timers.now() == 10 * SECOND
    assert_trio_is_real()


def test_threads_under_trio_run() -> None:
    """Worker threads work in each of two runs of one test."""

    async def main() -> float:
        await anyio.to_thread.run_sync(time.sleep, 3)
        await trio.to_thread.run_sync(lambda: trio.from_thread.run(trio.sleep, 4))
        return trio.current_time()

    with hosted():
        assert [trio.run(main), trio.run(main)] == [7.0, 14.0]


def test_a_nested_trio_run_is_refused_as_ever() -> None:
    """trio's own error comes for a run inside a run."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="Attempted to call run"):
            trio.run(two_seconds)

    with hosted():
        trio.run(main)


async def deadlock() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await trio.Event().wait()


async def endless() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(swallows)
        while True:
            await trio.sleep(600)


@pytest.mark.usefixtures("soon_dropped")
@pytest.mark.parametrize("main", [deadlock, swallows, shields, endless])
def test_a_trio_run_that_cannot_end_comes_back(main: Main) -> None:
    """`trio.run` returns from a stopped run, the scheduler knows the reason, and trio is usable again."""
    with hosted(limit=HOUR) as scheduler:
        with suppress(BaseException):
            trio.run(main)
        assert isinstance(scheduler.stopped_by, RunStopped)
        assert isinstance(scheduler.stopped_by, Deadlock) is (main is not endless)
        assert trio.run(two_seconds) == 2.0
    assert_trio_is_real()


def test_an_error_under_trio_run() -> None:
    """What main raises comes out of `trio.run`."""

    async def main() -> None:
        await trio.sleep(1)
        raise LookupError("out")

    with hosted(), pytest.raises(LookupError, match="out"):
        trio.run(main)
    assert_trio_is_real()


@contextmanager
def guest_runner() -> Iterator[TestRunner]:
    """anyio's runner of tests on trio, which is a guest run."""
    from anyio._backends import _trio as backend

    with backend.TestRunner() as runner:
        yield runner


def test_a_guest_run_is_virtual() -> None:
    """A guest run, as anyio's pytest plugin starts one, goes in the test's time, with its fixtures."""
    out: list[float] = []

    async def fixture() -> AsyncGenerator[str, Any]:
        await anyio.sleep(1)
        yield "made"
        await anyio.sleep(1)
        out.append(trio.current_time())

    async def test(made: str) -> None:
        assert made == "made"
        await anyio.to_thread.run_sync(time.sleep, 5)
        out.append(trio.current_time())

    with hosted(), guest_runner() as runner:
        for made in runner.run_asyncgen_fixture(fixture, {}):
            runner.run_test(test, {"made": made})
    assert out == [6.0, 7.0]
    assert_trio_is_real()


def test_a_guest_run_that_deadlocks() -> None:
    """The deadlock is raised where the test is run, and the runner's own end still works."""

    async def test() -> None:
        await trio.Event().wait()

    with hosted(), guest_runner() as runner, pytest.raises(Deadlock, match="nothing can run"):
        runner.run_test(test, {})
    assert_trio_is_real()


def test_the_fixtures_of_a_guest_run_that_deadlocks() -> None:
    """What the test's fixtures clean up is cleaned up, and the deadlock is the only error."""
    out: list[str] = []

    async def fixture() -> AsyncGenerator[str, Any]:
        try:
            yield "made"
        finally:
            out.append("cleaned up")

    async def test() -> None:
        await trio.Event().wait()

    with hosted(), guest_runner() as runner:
        for _ in runner.run_asyncgen_fixture(fixture, {}):
            with pytest.raises(Deadlock):
                runner.run_test(test, {})
    assert out == ["cleaned up"]
    assert_trio_is_real()


def test_trio_in_a_foreign_thread_stays_real() -> None:
    """A thread from before the run has its own trio, on the machine's clock."""
    go, out = threading.Event(), list[float]()

    async def sleeps() -> float:
        start = trio.current_time()
        await trio.sleep(0.001)
        return trio.current_time() - start

    def foreign() -> None:
        go.wait()
        out.append(trio.run(sleeps))

    thread = threading.Thread(target=foreign)
    thread.start()
    with hosted() as scheduler:
        go.set()
        thread.join()
        assert scheduler.timers.now() == 0
    assert out[0] >= 0.001


def test_trio_on_another_thread_of_the_run_is_refused() -> None:
    """In virtual time trio runs on the main thread of the test only, and says so."""
    out: list[str] = []

    def work() -> None:
        try:
            trio.run(two_seconds)
        except RuntimeError as error:
            out.append(str(error))

    with hosted():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert out == ["in virtual time trio runs on the main thread of the test only"]
