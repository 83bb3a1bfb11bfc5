"""A main thread that blocks on something real is stopped, with the stacks, and nothing is left behind."""

from __future__ import annotations

import asyncio
import inspect
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest

import wavetank
from wavetank.sim import main_thread_watch as watch
from wavetank.sim.errors import Deadlock
from wavetank.tank.hosted_world import Hosted

LOCK = threading.Lock()
"""Made before any run, where such a lock usually lives."""


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PATIENCE", 0.4)


async def holds_it_over_an_await() -> None:
    await anyio.sleep(0)
    with LOCK:
        await anyio.sleep(1)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_real_lock_held_over_an_await(backend: str) -> None:
    """The second task blocks the loop on it: a deadlock, which names the line and all tasks."""

    async def main(_: wavetank.Tank) -> None:
        async with anyio.create_task_group() as group:
            for _number in range(6):
                group.start_soon(holds_it_over_an_await)

    run = wavetank.simulate(main, backend=backend)
    assert run.kind == "deadlock"
    evidence = "\n".join(run.verdicts["liveness"].evidence)
    assert "thread 'main'" in evidence
    assert "at holds_it_over_an_await (tests/sim/test_sim_watch.py:" in evidence
    assert "make the lock inside the test" in evidence
    line = inspect.getsourcelines(holds_it_over_an_await)[1] + 3
    assert re.search(
        rf"task 'holds_it_over_an_await#\d+' holds a lock of threading while it awaits at "
        rf"tests/sim/test_sim_watch.py:{line}\n",
        evidence,
    )
    assert not LOCK.locked()


def test_a_sync_program_on_a_real_lock() -> None:
    """In a hosted test the reason comes out of the wait itself."""
    hosted = Hosted(wavetank.load_scenario("calm"), seed=0, replay="")
    before = signal.getsignal(signal.SIGURG)
    with hosted.phase():
        with LOCK, pytest.raises(Deadlock, match="main thread stood still"):
            LOCK.acquire()
        assert hosted.hung
        hosted.close()
    assert signal.getsignal(signal.SIGURG) == before


def test_a_program_that_spins_is_stopped_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It uses CPU time, and so has the longer time."""
    monkeypatch.setattr(watch, "LONGEST_WORK", 0.2)

    async def spins(_: wavetank.Tank) -> None:
        while True:
            pass

    assert wavetank.simulate(spins).kind == "deadlock"


def test_work_and_child_processes_are_let_be() -> None:
    """Neither CPU time nor the wait for a process is taken for a hang."""

    async def main(_: wavetank.Tank) -> int:
        until = time.process_time() + 0.5
        while time.process_time() < until:
            sum(range(100_000))
        subprocess.run([sys.executable, "-c", "import time; time.sleep(1)"], check=True)
        await asyncio.sleep(1)
        return 1

    run = wavetank.simulate(main)
    run.check()
    assert run.value == 1


def test_the_thread_that_looks_is_none_of_pythons() -> None:
    """A program that counts its threads does not see it."""
    before = threading.enumerate()

    async def main(_: wavetank.Tank) -> list[threading.Thread]:
        return threading.enumerate()

    assert wavetank.simulate(main).value == before


FORKS = """
import os
import threading
counts = []
# What is registered first is called last before a fork.
os.register_at_fork(before=lambda: counts.append(len(os.listdir("/proc/self/task"))))
import wavetank
from wavetank.sim import main_thread_watch as watch
watch.PATIENCE = 0.4

def fork():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)

lock = threading.Lock()

async def main(_):
    for _ in range(5):
        fork()
    with lock:
        lock.acquire()

for _ in range(3):
    assert wavetank.simulate(main).kind == "deadlock"
    fork()
assert counts == [1] * 18, counts
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads as Linux does")
def test_a_fork_meets_no_thread_that_looks() -> None:
    """Python 3.12 warns of threads at a fork. In a run and after it there is none, and then it looks on."""
    program = [sys.executable, "-W", "error", "-c", FORKS]
    done = subprocess.run(program, capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stderr) == (0, "")
