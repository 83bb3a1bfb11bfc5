"""Threads of a test wait for each other's pipes, sockets and queues, and time tells the truth."""

from __future__ import annotations

import concurrent.futures as cf
import multiprocessing
import os
import queue
import select
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import wavetank

pytestmark = pytest.mark.usefixtures("fake_llm")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    near, far = os.pipe()
    yield near, far
    os.close(near)
    os.close(far)


def later(act: Callable[[], object]) -> threading.Thread:
    """Do it in another thread, 30 s from now."""

    def wait() -> None:
        time.sleep(30)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def by_select(file: int, timeout: float) -> bool:
    return bool(select.select([file], [], [], timeout)[0])


def by_a_selector(file: int, timeout: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        return bool(selector.select(timeout))


def by_polling(file: int, timeout: float) -> bool:
    with selectors.PollSelector() as selector:
        selector.register(file, selectors.EVENT_READ)
        return bool(selector.select(timeout))


WAYS = [by_select, by_a_selector, by_polling]


@pytest.mark.parametrize("way", WAYS)
def test_select_waits_for_another_thread(way: Callable[[int, float], bool], pipe: tuple[int, int]) -> None:
    """In virtual time, until it writes or the time is over."""
    thread = later(lambda: os.write(pipe[1], b"x"))
    assert not way(pipe[0], 20)
    assert time.monotonic() == 20
    assert way(pipe[0], 3600)
    assert time.monotonic() == 30
    assert way(pipe[0], 3600)
    thread.join()
    assert time.monotonic() == 30


@pytest.mark.parametrize("way", WAYS)
def test_a_select_that_no_task_of_the_test_can_end(
    way: Callable[[int, float], bool], pipe: tuple[int, int]
) -> None:
    """It waits for another process with the machine's clock; what it has waited passes in the test, too."""
    assert not way(pipe[0], 0.02)
    assert time.monotonic() == 0.02
    assert not way(pipe[0], 0)
    assert time.monotonic() == 0.02
    program = [sys.executable, "-c", "import os, sys, time; time.sleep(0.05); os.write(1, b'x')"]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert way(process.stdout.fileno(), 60)
    assert time.monotonic() == 0.02


def test_a_pair_of_sockets_between_threads() -> None:
    """One waits in virtual time until the other sends, or until its own time is over."""
    one, other = socket.socketpair()
    with one, other:
        one.settimeout(20)
        thread = later(lambda: other.send(b"x"))
        with pytest.raises(TimeoutError, match="timed out"):
            one.recv(1)
        assert time.monotonic() == 20
        assert one.recv(1) == b"x"
        thread.join()
        thread = later(lambda: other.send(b"y"))
        one.settimeout(None)
        assert one.recv(1) == b"y"
        thread.join()
        assert time.monotonic() == 60


def test_a_thread_waits_for_the_main_thread() -> None:
    """The other way round."""
    one, other = socket.socketpair()
    seen: list[tuple[bytes, float]] = []
    with one, other:
        thread = threading.Thread(target=lambda: seen.append((one.recv(1), time.monotonic())))
        thread.start()
        time.sleep(30)
        other.send(b"x")
        thread.join()
    assert seen == [(b"x", 30)]


def test_a_queue_of_multiprocessing() -> None:
    """The thread that feeds it has its turn before one waits for what it writes."""
    numbers: multiprocessing.queues.Queue[int] = multiprocessing.get_context("spawn").Queue()
    numbers.put(1)
    assert numbers.get(timeout=60) == 1
    numbers.put(2)
    assert numbers.get() == 2
    with pytest.raises(queue.Empty):
        numbers.get(timeout=0.01)
    numbers.close()
    numbers.join_thread()
    assert time.monotonic() == 0


def test_timers_and_futures() -> None:
    """`threading.Timer` and `concurrent.futures.wait` count virtual time."""
    rang: list[float] = []
    timer = threading.Timer(50, lambda: rang.append(time.monotonic()))
    timer.start()
    timer.join()
    assert rang == [50]
    with cf.ThreadPoolExecutor(2) as pool:
        future = pool.submit(time.sleep, 100)
        assert cf.wait([future], timeout=10).not_done == {future}
        assert time.monotonic() == 60
        assert cf.wait([future]).done == {future}
    assert time.monotonic() == 150


@pytest.mark.parametrize("seed", range(3))
def test_a_search_repeats(seed: int) -> None:
    """Two threads that talk by a pair of sockets take the same course in every run of a schedule."""

    async def main(tank: wavetank.Tank) -> list[float]:
        test_a_thread_waits_for_the_main_thread()
        return [tank.now()]

    runs = [wavetank.simulate(main, seed=seed) for _ in range(2)]
    assert [run.value for run in runs] == [[30], [30]]
    assert len({run.events.to_ndjson() for run in runs}) == 1
