"""What waits for real processes keeps real time; alarms and `sleep` tell the truth in virtual time."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.pool import Pool, ThreadPool

import pytest

import wavetank
from wavetank.tank.fake_llm import FakeLLM

pytestmark = pytest.mark.usefixtures("fake_llm")


@pytest.mark.parametrize("capture", [True, False])
def test_a_process_that_ends_is_never_late(capture: bool) -> None:
    """However often it is looked at meanwhile: its timeout is real, and takes no virtual time."""
    program = [sys.executable, "-c", "import time; time.sleep(0.2); print(1)"]
    out = subprocess.run(program, capture_output=capture, timeout=600, check=True)
    assert out.stdout == (b"1\n" if capture else None)
    assert time.monotonic() == 0


def test_a_process_that_hangs_times_out() -> None:
    """In real time; the clock of the test stands still."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.05)
        process.kill()
    assert time.monotonic() == 0


def test_a_pipe_between_processes_times_out() -> None:
    """So does a poll of a pipe: it would never come to its end by a clock that stands still."""
    near, far = multiprocessing.Pipe()
    with near, far:
        assert not near.poll(0.01)
        far.send(1)
        assert near.poll(60)
        assert near.recv() == 1


def test_a_pool_of_processes_is_refused_and_one_of_threads_works() -> None:
    """The threads of the former would wait for its processes while no other thread may run."""
    with pytest.raises(wavetank.RealInputOutput, match=r"multiprocessing\.Pool.*llm_clock"):
        Pool(1)
    with pytest.raises(wavetank.RealInputOutput):
        multiprocessing.get_context("spawn").Pool(1)
    with ThreadPool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]


@pytest.mark.parametrize(
    "seconds", [1.7e12, 9.3e9, float("nan"), float("inf"), float("-inf"), -1, -0.5, "1", None]
)
def test_sleep_refuses_in_the_words_of_python(seconds: float) -> None:
    """The same error as without wavetank, and no time passes."""
    code = f"import time; nan, inf = float('nan'), float('inf'); time.sleep({seconds!r})"
    with pytest.raises((OverflowError, TypeError, ValueError)) as caught:
        time.sleep(seconds)
    stock = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert stock.stderr.strip().splitlines()[-1] == f"{type(caught.value).__name__}: {caught.value}"
    assert time.monotonic() == 0


# -- alarms ----------------------------------------------------------------------------------------


@pytest.fixture
def rang() -> Iterator[list[float]]:
    """The instants at which the alarm rang."""
    instants: list[float] = []
    before = signal.signal(signal.SIGALRM, lambda *_: instants.append(time.monotonic()))
    yield instants
    signal.signal(signal.SIGALRM, before)


def test_an_alarm_rings_in_virtual_time(rang: list[float]) -> None:
    """One that is set again or switched off returns how much was left, in whole seconds."""
    assert signal.alarm(10) == 0
    time.sleep(3.5)
    assert signal.alarm(0) == 7
    time.sleep(20)
    signal.alarm(10)
    time.sleep(100)
    assert rang == [33.5]


def test_a_timer_with_an_interval_rings_again(rang: list[float]) -> None:
    """Until it is switched off."""
    assert signal.setitimer(signal.ITIMER_REAL, 1, 2) == (0, 0)
    time.sleep(6)
    assert signal.getitimer(signal.ITIMER_REAL) == (1, 2)
    assert signal.setitimer(signal.ITIMER_REAL, 0) == (1, 2)
    time.sleep(6)
    assert rang == [1, 3, 5]


class TooLate(Exception):
    """What a handler raises."""


def sleeps() -> None:
    time.sleep(100)


def sleeps_in_a_loop() -> None:
    asyncio.run(asyncio.sleep(100))


@pytest.mark.parametrize("wait", [sleeps, sleeps_in_a_loop])
def test_a_handler_may_end_the_wait(wait: Callable[[], None]) -> None:
    """The usual timeout of a script: the error comes out of whatever waits."""

    def too_late(*_: object) -> None:
        raise TooLate

    before = signal.signal(signal.SIGALRM, too_late)
    try:
        signal.alarm(3)
        with pytest.raises(TooLate):
            wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() == 3


def test_an_alarm_ends_with_its_run() -> None:
    """What one run set rings neither in the next one nor in real time."""

    async def main(_: wavetank.Tank) -> None:
        signal.alarm(5)

    async def waits(_: wavetank.Tank) -> None:
        await asyncio.sleep(50)

    assert wavetank.simulate(main).error is None
    assert wavetank.simulate(waits).error is None
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_timers_of_cpu_time_stay_real(fake_llm: FakeLLM) -> None:
    """They are none of the run's business."""
    assert signal.setitimer(signal.ITIMER_PROF, 1000) == (0, 0)
    left, _ = signal.setitimer(signal.ITIMER_PROF, 0)
    assert 0 < left < 1001
    assert not fake_llm.requests
