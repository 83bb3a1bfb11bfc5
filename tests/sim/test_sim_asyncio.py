"""The simulated asyncio loop behaves as asyncio's own, in virtual time."""

from __future__ import annotations

import asyncio
import contextvars
import math
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wavetank.clock import SECOND
from wavetank.patches.virtual import virtual_process
from wavetank.sim.asyncio_loop import SimulatedLoop
from wavetank.sim.asyncio_run import run_asyncio
from wavetank.sim.ended import Ended
from wavetank.sim.errors import Deadlock, RealInputOutput, StepBudgetSpent
from wavetank.sim.scheduler import Scheduler
from wavetank.sim.timers import Timers

from ..depth import n_of

DAY = 24 * 3600.0
DELAYS = st.floats(0, 1e5) | st.floats(0, 1e-8) | st.sampled_from([0.1, 0.2, 0.3, 1 / 3, 1e-12])


def run(
    main: Callable[[], Coroutine[Any, Any, Any]],
    *,
    started: Callable[[SimulatedLoop], object] = lambda _: None,
) -> Ended:
    """Run `main` on a fresh simulated loop."""
    scheduler = Scheduler(Timers())
    with virtual_process(scheduler):
        try:
            return run_asyncio(main, scheduler, started=started, ended=lambda _: None)
        finally:
            scheduler.close()


def value_of(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What `main` returned; it must not have ended otherwise."""
    end = run(main)
    assert end.error is None
    assert end.how == "returned"
    return end.value


@contextmanager
def simulated_loop(**options: int) -> Iterator[SimulatedLoop]:
    """A loop for tests of its own methods."""
    loop = SimulatedLoop(Scheduler(Timers()), **options)
    try:
        yield loop
    finally:
        loop.drain()
        loop.close()


def now() -> float:
    return asyncio.get_running_loop().time()


# -- callbacks and timers ------------------------------------------------------------------


def test_call_soon_is_first_in_first_out() -> None:
    """Callbacks run in the order they were added; those they add come after all of them."""
    out: list[int] = []
    with simulated_loop() as loop:
        for number in range(5):
            loop.call_soon(out.append, number)
            loop.call_soon(loop.call_soon, out.append, 10 + number)
        loop.call_soon(loop.call_soon, loop.stop)
        loop.run_forever()
    assert out == [0, 1, 2, 3, 4, 10, 11, 12, 13, 14]


@given(st.lists(DELAYS, max_size=25))
def test_call_later_is_in_order_and_never_early(delays: list[float]) -> None:
    """Timers fire by instant, ties in the order they were set, and no timer fires before its delay."""
    fired: list[tuple[float, int]] = []
    with simulated_loop() as loop:
        for number, delay in enumerate(delays):
            loop.call_later(delay, lambda number=number: fired.append((loop.time(), number)))
        loop.call_later(2e5, loop.stop)
        loop.run_forever()
    assert sorted(number for _, number in fired) == list(range(len(delays)))
    assert fired == sorted(fired)
    for at, number in fired:
        assert at >= delays[number] or math.isclose(at, delays[number], rel_tol=4e-15, abs_tol=1e-12)
        assert at <= delays[number] + 2e-9


@given(st.lists(DELAYS, min_size=1, max_size=25))
def test_call_at_is_never_early(instants: list[float]) -> None:
    """At the time a timer fires, the loop's clock has reached the instant that was asked for."""
    with simulated_loop() as loop:
        late: list[float] = []
        for when in instants:
            loop.call_at(when, lambda when=when: late.append(loop.time() - when))
        loop.call_later(2e5, loop.stop)
        loop.run_forever()
    assert len(late) == len(instants)
    assert min(late) >= 0
    assert max(late) <= 2e-9


def test_cancelled_timers_do_not_fire_nor_hold_time() -> None:
    """A cancelled timer is dropped, and time does not go to its instant."""
    with simulated_loop() as loop:
        handle = loop.call_later(50, lambda: pytest.fail("it was cancelled"))
        handle.cancel()
        loop.call_later(1, loop.stop)
        loop.run_forever()
        assert loop.time() == 1.0
        assert handle.cancelled()


def test_a_timer_says_when() -> None:
    """A timer handle knows its instant, also when that never comes."""
    with simulated_loop() as loop:
        assert loop.call_later(1.5, print).when() == 1.5
        assert loop.call_at(2.5, print).when() == 2.5
        assert loop.call_later(math.inf, print).when() == math.inf
        assert loop.call_at(math.inf, print).when() == math.inf


def stopped_in_the_middle(loop: asyncio.AbstractEventLoop) -> list[list[int]]:
    out: list[int] = []
    seen: list[list[int]] = []
    loop.call_soon(out.append, 1)
    loop.call_soon(loop.stop)
    loop.call_soon(out.append, 2)
    loop.call_soon(loop.call_soon, out.append, 3)
    loop.run_forever()
    seen.append(list(out))
    loop.stop()
    loop.run_forever()
    seen.append(list(out))
    loop.close()
    return seen


def test_stop_lets_its_batch_run_to_the_end() -> None:
    """As on asyncio's own loop, a stop ends the run after the batch, and a stopped loop runs one batch."""
    stock = stopped_in_the_middle(asyncio.new_event_loop())
    assert stopped_in_the_middle(SimulatedLoop(Scheduler(Timers()))) == stock == [[1, 2], [1, 2, 3]]


def test_an_exception_in_a_callback_goes_to_the_handler() -> None:
    """A callback that raises is reported to the exception handler and the loop goes on."""
    reported: list[dict[str, Any]] = []

    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: reported.append(context))
        loop.call_soon(lambda: 1 / 0)
        loop.call_later(1, lambda: [][0])
        await asyncio.sleep(2)
        return "went on"

    assert value_of(main) == "went on"
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError, IndexError]


def test_an_exception_in_a_step_of_the_engine_is_not_logged_away() -> None:
    """What goes wrong in the engine's own steps comes out of the run."""
    with simulated_loop() as loop:
        loop.soon(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loop.run_forever()


def test_a_stopped_loop_gives_back_timers_that_are_not_its_own() -> None:
    """A timer of somebody else that a loop did not come to is due again, and fires once."""

    def leave() -> None:
        raise SystemExit

    fired: list[int] = []
    with simulated_loop() as loop:
        loop.call_soon(leave)
        loop.timers.call_at(0, lambda: fired.append(1))
        loop.call_at(0, fired.append, 2)
        with suppress(SystemExit):
            loop.run_forever()
        assert fired == []
        entry = loop.timers.pop_due()
        assert entry is not None
        entry.fire()
        assert loop.timers.pop_due() is None
        loop.call_later(1, loop.stop)
        loop.run_forever()
    assert fired == [1, 2]


def test_a_closed_loop_takes_nothing() -> None:
    """A closed loop refuses callbacks, as asyncio's does, and lets timers fall that come up later."""
    loop = SimulatedLoop(Scheduler(Timers()))
    handle = loop.call_later(1, lambda: pytest.fail("the loop was closed"))
    loop.close()
    loop.adopt(handle)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_soon(print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_later(1, print)
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        loop.call_later(math.inf, print)
    assert repr(loop) == "<SimulatedLoop at 0s, 0 steps>"


# -- sleeping and deadlines -------------------------------------------------------------------


def test_sleep_zero_costs_no_time() -> None:
    """Yielding moves no clock."""

    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
            await anyio.sleep(0)
        return now()

    assert value_of(main) == 0.0


@pytest.mark.parametrize("delay", [1e-9, 1e-12, 5e-324])
def test_a_positive_sleep_takes_time(delay: float) -> None:
    """The shortest sleep takes a nanosecond."""

    async def main() -> float:
        await asyncio.sleep(delay)
        return now()

    assert value_of(main) == 1e-9


def test_a_wait_too_short_for_a_float_comes_to_its_end() -> None:
    """A program that repeats a timer for the rest of a rounding error sees the clock move."""

    async def main() -> float:
        await asyncio.sleep(2)
        loop = asyncio.get_running_loop()
        while loop.time() == 2:
            woken = loop.create_future()
            loop.call_at(2 + 1e-17, woken.set_result, None)
            await woken
        return loop.time()

    assert value_of(main) == 2 + 1e-9


@pytest.mark.parametrize("delay", [3600.0, 30 * DAY, 365 * DAY])
def test_a_long_sleep_is_exact_and_quick(delay: float) -> None:
    """An hour, a month and a year pass to the nanosecond in a handful of steps."""

    async def main() -> float:
        await asyncio.sleep(delay)
        return now()

    end = run(main)
    assert end.value == delay
    assert end.steps < 10


@settings(max_examples=n_of(25, 2000))
@given(st.lists(st.floats(1e-9, 100), min_size=1, max_size=20))
def test_cumulative_timeouts_are_never_early(delays: list[float]) -> None:
    """Deadlines built from float sums are reached in one go, never before their time."""

    async def main() -> None:
        for delay in delays:
            for scope in (timeout, move_on):
                start = now()
                await scope(delay)
                assert start + delay <= now() <= start + delay + 3e-9

    async def timeout(delay: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await asyncio.Event().wait()

    async def move_on(delay: float) -> None:
        with anyio.move_on_after(delay) as scope:
            await anyio.sleep_forever()
        assert scope.cancelled_caught

    value_of(main)


def test_sleeping_for_ever_ends_with_a_timeout() -> None:
    """A sleep without end can be cut short."""

    async def main() -> float:
        with anyio.move_on_after(7):
            await anyio.sleep_forever()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(math.inf), 3)
        return now()

    assert value_of(main) == 10.0


def test_sleeping_for_ever_alone_is_a_deadlock() -> None:
    """A sleep without end is nothing that time could wait for."""
    end = run(anyio.sleep_forever)
    assert end.how == "deadlock"


@given(st.floats(0, 1e6))
def test_at_instant_is_reached(seconds: float) -> None:
    """A deadline read back from the clock is not before the deadline that was set, but for float noise."""
    timers = Timers()
    instant = timers.instant_of(seconds)
    assert instant / SECOND >= seconds or math.isclose(
        instant / SECOND, seconds, rel_tol=4e-15, abs_tol=1e-12
    )
    timers.advance(instant)
    assert timers.seconds() >= seconds


def test_blocking_sleep_in_a_coroutine_stops_the_loop_for_that_long() -> None:
    """`time.sleep` in a coroutine lets no other task run until it is over."""

    async def main() -> list[tuple[str, float]]:
        out: list[tuple[str, float]] = []

        async def other() -> None:
            await asyncio.sleep(1)
            out.append(("other", now()))

        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        time.sleep(5)
        out.append(("main", now()))
        await task
        return out

    assert value_of(main) == [("main", 5.0), ("other", 5.0)]


# -- tasks ----------------------------------------------------------------------------------


def test_task_group_cancels_the_others() -> None:
    """An error in a task group cancels the siblings at that instant and comes out as a group."""
    ended: list[tuple[int, float]] = []

    async def child(number: int) -> None:
        try:
            await asyncio.sleep(number)
        finally:
            ended.append((number, now()))
        if number == 3:
            raise ValueError(number)

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(1, 6):
                group.create_task(child(number))

    end = run(main)
    assert isinstance(end.error, ExceptionGroup)
    assert [repr(error) for error in end.error.exceptions] == ["ValueError(3)"]
    assert sorted(ended) == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 3.0), (5, 3.0)]


def test_anyio_scopes() -> None:
    """Nested anyio scopes end at their own deadlines, and a shield holds off the outer one."""

    async def main() -> list[float]:
        out: list[float] = []
        with anyio.move_on_after(2):
            try:
                await anyio.sleep(10)
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(3)
                out.append(now())
        with pytest.raises(TimeoutError), anyio.fail_after(1), anyio.fail_after(4):
            await anyio.sleep(10)
        return [*out, now()]

    assert value_of(main) == [5.0, 6.0]


def test_queue() -> None:
    """A bounded queue makes the producer wait for the consumer, to the second."""

    async def main() -> list[list[tuple[int, float]]]:
        queue: asyncio.Queue[int] = asyncio.Queue(1)
        put: list[tuple[int, float]] = []
        got: list[tuple[int, float]] = []

        async def produce() -> None:
            for number in range(4):
                await queue.put(number)
                put.append((number, now()))

        task = asyncio.create_task(produce())
        for _ in range(4):
            got.append((await queue.get(), now()))
            await asyncio.sleep(1)
        await task
        return [put, got]

    put, got = value_of(main)
    assert put == [(0, 0.0), (1, 0.0), (2, 1.0), (3, 2.0)]
    assert got == [(0, 0.0), (1, 1.0), (2, 2.0), (3, 3.0)]


def test_contextvars() -> None:
    """Each task and each callback sees the variables of where it was made."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def main() -> list[str]:
        out: list[str] = []

        async def child(name: str) -> None:
            variable.set(name)
            await asyncio.sleep(1)
            out.append(variable.get())

        variable.set("main")
        asyncio.get_running_loop().call_later(2, lambda: out.append(variable.get()))
        asyncio.get_running_loop().call_soon(
            lambda: out.append(variable.get()), context=contextvars.Context()
        )
        await asyncio.gather(child("a"), child("b"))
        variable.set("later")
        await asyncio.sleep(2)
        return out

    assert value_of(main) == ["none", "a", "b", "main"]


def test_a_task_factory_is_obeyed() -> None:
    """Eager tasks, where Python has them, run up to their first wait at once; others with the next step."""

    def plain(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=loop, **options)

    eager = getattr(asyncio, "eager_task_factory", None)

    async def main() -> list[str]:
        asyncio.get_running_loop().set_task_factory(eager or plain)
        out: list[str] = []

        async def child() -> None:
            out.append("child")
            await asyncio.sleep(1)

        task = asyncio.create_task(child(), name="named")
        out.append(task.get_name())
        await task
        asyncio.get_running_loop().set_task_factory(None)
        return out

    expected = ["child", "named"] if sys.version_info >= (3, 12) else ["named", "child"]
    assert value_of(main) == expected


def test_async_generators_are_shut_down() -> None:
    """A generator that was left half-way is closed at the end, and its clean-up may wait."""
    out: list[tuple[str, float]] = []
    kept: list[AsyncIterator[int]] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(2)
            out.append(("closed", now()))

    async def main() -> int:
        kept.append(numbers())
        return await anext(kept[0])

    assert value_of(main) == 1
    assert out == [("closed", 2.0)]


def test_a_generator_dropped_in_the_run_is_closed_by_the_loop() -> None:
    """A generator that loses its last reference is closed in a task of the loop."""

    async def main() -> list[float]:
        closed: list[float] = []

        async def numbers() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                await asyncio.sleep(1)
                closed.append(now())

        async for _ in numbers():
            break
        await asyncio.sleep(5)
        return closed

    assert value_of(main) == [1.0]


# -- the end ----------------------------------------------------------------------------------


def test_left_over_tasks_are_cancelled_and_drained() -> None:
    """Background tasks are cancelled in creation order when main ends, and their clean-up runs to its end."""
    out: list[tuple[int, float]] = []

    async def background(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1)
            out.append((number, now()))

    kept: list[asyncio.Task[None]] = []

    async def main() -> str:
        kept.extend(asyncio.create_task(background(number)) for number in range(20))
        await asyncio.sleep(3)
        return "done"

    assert value_of(main) == "done"
    assert out == [(number, 4.0) for number in range(20)]
    assert all(task.cancelled() for task in kept)


async def waits_on() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def sleeps_on() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(1)


async def spins_on() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0)


async def holds_on() -> None:
    for _ in range(3):
        with suppress(BaseException):
            await asyncio.Event().wait()


async def shielded() -> None:
    await asyncio.shield(asyncio.create_task(waits_on()))


async def fails() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise ValueError("in the clean-up")


@pytest.mark.parametrize("left", [waits_on, sleeps_on, spins_on, holds_on, shielded, fails])
def test_what_will_not_end_does_not_hang_the_drain(left: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Tasks that swallow their cancellation are dropped after a small budget, and main's value counts."""
    kept: list[asyncio.Task[None]] = []

    async def main() -> str:
        kept.append(asyncio.create_task(left()))
        await asyncio.sleep(0)
        return "done"

    assert value_of(main) == "done"


class Outcome(BaseException):
    """Stands for what a test runner raises to end a test."""


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, Outcome])
def test_what_is_no_exception_propagates(kind: type[BaseException]) -> None:
    """Ctrl-C, an exit and a test's outcome come out of the run, and the loop is closed."""
    loops: list[SimulatedLoop] = []

    async def main() -> None:
        asyncio.create_task(asyncio.sleep(100))  # noqa: RUF006  (left over on purpose)
        await asyncio.sleep(1)
        raise kind("out")

    with pytest.raises(kind, match="out"):
        run(main, started=loops.append)
    assert loops[0].is_closed()


def test_a_skip_propagates() -> None:
    """A test may be skipped from inside the run."""

    async def main() -> None:
        pytest.skip("not today")

    with pytest.raises(pytest.skip.Exception, match="not today"):
        run(main)


def test_ctrl_c_in_a_background_task_propagates() -> None:
    """An interrupt ends the run wherever it strikes."""

    async def interrupted() -> None:
        raise KeyboardInterrupt

    async def main() -> None:
        task = asyncio.create_task(interrupted())
        await asyncio.sleep(100)
        await task

    with pytest.raises(KeyboardInterrupt):
        run(main)


def test_ctrl_c_while_draining_closes_the_loop() -> None:
    """An interrupt in a clean-up comes out, and the loop is closed all the same."""
    loops: list[SimulatedLoop] = []

    async def left() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise KeyboardInterrupt

    async def main() -> None:
        asyncio.create_task(left())  # noqa: RUF006  (left over on purpose)
        await asyncio.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        run(main, started=loops.append)
    assert loops[0].is_closed()


def test_main_that_is_cancelled_raised() -> None:
    """A main that cancels itself ends with that error."""

    async def main() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)

    end = run(main)
    assert end.how == "raised"
    assert isinstance(end.error, asyncio.CancelledError)


def test_a_run_inside_a_running_loop_is_refused() -> None:
    """Starting a run from a coroutine is refused, and the text says what to do."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="inside a running event loop: call it from a sync function"):
            run(waits_on)

    asyncio.run(main())


# -- input and output -------------------------------------------------------------------------


async def open_connection() -> None:
    await asyncio.open_connection("example.com", 443)


async def start_server() -> None:
    await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)


async def subprocess() -> None:
    await asyncio.create_subprocess_exec(sys.executable, "-V")


async def shell() -> None:
    await asyncio.create_subprocess_shell("true")


async def look_up() -> None:
    await asyncio.get_running_loop().getaddrinfo("example.com", 443)


async def add_reader() -> None:
    asyncio.get_running_loop().add_reader(0, print)


async def add_writer() -> None:
    asyncio.get_running_loop().add_writer(1, print)


@pytest.mark.parametrize(
    "call", [open_connection, start_server, subprocess, shell, look_up, add_reader, add_writer]
)
def test_real_input_and_output_is_refused(call: Callable[[], Awaitable[None]]) -> None:
    """Sockets, subprocesses and file descriptors are refused, with the name of the call and the fix."""

    async def main() -> str:
        with pytest.raises(RealInputOutput) as caught:
            await call()
        return str(caught.value)

    text = value_of(main)
    assert text.startswith("loop.")
    assert '@pytest.mark.llm_clock("real")' in text


@pytest.mark.parametrize("name", ["add_signal_handler", "remove_signal_handler"])
def test_signals_are_refused_as_on_windows(name: str) -> None:
    """A program that can do without signal handlers goes on; any other is told what to do."""

    async def main() -> str:
        with pytest.raises(NotImplementedError) as caught:
            getattr(asyncio.get_running_loop(), name)(2)
        return str(caught.value)

    assert value_of(main).startswith(f"loop.{name}(): a loop in virtual time takes no signals; catch this")


# -- budgets and reports of the loop itself -------------------------------------------------------


def test_the_step_budget_ends_a_spin() -> None:
    """A program that never lets time pass is stopped after its budget of steps."""
    with simulated_loop(step_budget=100) as loop:
        with pytest.raises(StepBudgetSpent, match="100 steps without an outcome, at 0s of virtual time"):
            loop.run_until_complete(spins_on())
        assert loop.steps == 100


def test_progress_renews_the_step_budget() -> None:
    """The budget counts from the last outcome."""

    async def busy(loop: SimulatedLoop) -> str:
        for _ in range(10):
            for _ in range(60):
                await asyncio.sleep(0)
            loop.progress()
        return "done"

    with simulated_loop(step_budget=100) as loop:
        assert loop.run_until_complete(busy(loop)) == "done"
        assert loop.steps > 600


def test_a_deadlock_of_the_bare_loop() -> None:
    """`run_until_complete` raises at once when nothing is left that could happen."""
    with simulated_loop() as loop:
        loop.scheduler.engine = loop
        with pytest.raises(Deadlock, match=r"deadlock at 0s: nothing can run, no timer is set, 1 task"):
            loop.run_until_complete(asyncio.Event().wait())


def test_the_loop_can_go_on_after_a_deadlock() -> None:
    """A loop that stopped for a deadlock runs the next program, as a test's fixtures need it."""
    with simulated_loop() as loop:
        with pytest.raises(Deadlock):
            loop.run_until_complete(asyncio.Event().wait())
        assert loop.run_until_complete(asyncio.sleep(1, "fine")) == "fine"
