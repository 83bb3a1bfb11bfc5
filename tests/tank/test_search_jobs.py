"""A search in several processes: it comes to what one process comes to, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from sniffio import current_async_library

import wavetank
from wavetank import Diverged, Tank
from wavetank.sim.policies import POLICIES
from wavetank.tank.search import forked_makers
from wavetank.tank.search.forked_makers import MakerDied
from wavetank.tank.search.made_schedule import Made
from wavetank.tank.search.search import ALONE

from ..depth import by_turns, in_turn, n_of
from ..forked import ForkedPython

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


Main = Callable[[Tank], Awaitable[None]]

HERE = os.getpid()

LATE = {"asyncio": "ccabba", "trio": "cabbca"}


@pytest.fixture(autouse=True)
def beside_the_threads_of_xdist(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Fork also in a worker of pytest-xdist: its threads only wait. What would be said of them."""
    why_not = forked_makers.why_not
    monkeypatch.setattr(forked_makers, "why_not", lambda: "")
    return why_not


async def crowd(_: Tank) -> list[str]:
    """Three tasks of two steps each; the order in which they went."""
    order: list[str] = []

    async def work(name: str) -> None:
        for _ in range(2):
            await checkpoint()
            order.append(name)

    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(work, name, name=name)
    return order


async def race(tank: Tank) -> None:
    """Fails in an order that comes late in a search."""
    assert await crowd(tank) != [*LATE[current_async_library()]]


async def asks(tank: Tank) -> None:
    """Three items, answered one after another."""

    async def ask(item: str) -> None:
        tank.ledger.submit(item)
        answer = await tank.fake_llm.call(item, item=item)
        tank.ledger.complete(item, answer.text)

    async with anyio.create_task_group() as group:
        for item in "abc":
            group.start_soon(ask, item)


def searched(main: Main, **options: Any) -> tuple[Any, ...]:
    """What a search comes to, and which schedules it made; its processes are gone."""
    courses: list[tuple[object, ...]] = []

    def watch(made: Made) -> None:
        assert made.record is not None
        courses.append((made.number, str(made.level), *made.record.taken, *made.record.widths))

    result = wavetank.search(main, watch=watch, **options)
    assert result.processes == options.get("jobs", 1) or result.schedules <= 16
    no_process_is_left()
    failure = result.failure
    return (
        (result.schedules, result.distinct, result.choices, result.proved, result.unmet, courses),
        failure and (failure.report(), failure.schedule, failure.events.to_ndjson()),
    )


def no_process_is_left() -> None:
    """Neither one that runs nor one that was not waited for, of those that the search forked."""
    for child in FORKED:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, os.WNOHANG)


FORKED: list[int] = []
"""The processes of a test; others may live beside it, such as a server for other tests."""


@pytest.fixture(autouse=True)
def _forks(monkeypatch: pytest.MonkeyPatch) -> None:
    fork = os.fork
    FORKED.clear()

    def noted() -> int:
        child = fork()
        if child:
            FORKED.append(child)
        return child

    monkeypatch.setattr(os, "fork", noted)


# -- the same result ---------------------------------------------------------------------------------


@by_turns(main=[race, asks], backend=["asyncio", "trio"])
def test_the_number_of_processes_decides_nothing(backend: str, main: Main) -> None:
    """The same schedules in the same order, the same first failure, byte by byte."""
    many = 130 if main is race else n_of(60, 130)
    one = searched(main, backend=backend, schedules=many)
    for jobs in in_turn(int(main is race), (2, 3)):
        assert searched(main, backend=backend, schedules=many, jobs=jobs) == one
    assert (one[1] is not None) is (main is race)
    assert one[0][0] > ALONE


@pytest.mark.parametrize("policy", [*POLICIES, "exhaustive:2"])
def test_every_policy_can_be_shared(policy: str) -> None:
    """Also one that knows its next schedules only from the last ones, and its proof."""
    options = {"policy": policy, "level": "any-instant", "schedules": n_of(60, 140)}
    assert searched(crowd, **options, jobs=2) == searched(crowd, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", in_turn(0, ["trio", "asyncio"]))
def test_a_process_that_dies_costs_its_part_again(backend: str, tmp_path: Path) -> None:
    """What a killed process was to make another one makes, and nothing else changes."""
    killed = tmp_path / "killed"

    async def deadly(tank: Tank) -> None:
        if os.getpid() != HERE and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        await race(tank)

    one = searched(deadly, backend=backend, schedules=130)
    assert searched(deadly, backend=backend, schedules=130, jobs=2)[0] == one[0]
    assert one[0][0] > ALONE
    assert killed.exists()


def test_a_schedule_at_which_every_process_dies_is_named() -> None:
    """The second process that dies at the same place ends the search; the text says how it ended."""

    async def deadly(tank: Tank) -> None:
        if os.getpid() != HERE:
            os._exit(77)
        await crowd(tank)

    text = r"schedules? \d+.* of the search died twice, the last time with status 77"
    with pytest.raises(MakerDied, match=text):
        wavetank.search(deadly, schedules=100, jobs=2)
    no_process_is_left()


def test_a_failure_that_only_another_process_has_is_no_failure_of_the_program() -> None:
    """The text has what failed there, and where to look."""

    async def differs(_: Tank) -> None:
        assert os.getpid() == HERE, "elsewhere"

    with pytest.raises(
        Diverged, match=r"schedule 17 of the search fails in one process and not in another"
    ) as caught:
        wavetank.search(differs, schedules=100, jobs=2)
    assert "elsewhere" in str(caught.value)
    no_process_is_left()


# -- how it ends -------------------------------------------------------------------------------------


def test_a_watch_ends_the_search() -> None:
    """Its processes end with it, and what was made counts up to there."""
    result = wavetank.search(crowd, jobs=2, watch=lambda made: made.number == 99)
    assert result.schedules == 100
    no_process_is_left()


def test_an_error_ends_the_processes() -> None:
    """Whatever is raised where the search is, such as by Ctrl-C."""

    def watch(made: Made) -> None:
        if made.number == 70:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wavetank.search(crowd, jobs=2, watch=watch)
    no_process_is_left()


SCRIPT = """
import os, signal, sys, warnings
import anyio, wavetank

warnings.simplefilter("error")
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored in the background

async def main(tank):
    await anyio.sleep(1)

def watch(made):
    if made.number == 100 and "interrupt" in sys.argv:
        os.killpg(0, signal.SIGINT)  # as Ctrl-C in a terminal
    if made.number == 100 and "kill" in sys.argv:
        os.kill(os.getpid(), signal.SIGKILL)

print("before", end=" ")
wavetank.search(main, schedules=200, jobs=2, watch=watch)
print("after")
"""


def script(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The script, once every process that has its pipes has ended."""
    command = [sys.executable, "-c", SCRIPT, *arguments]
    with ForkedPython(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def test_nothing_is_printed_twice() -> None:
    """What was not yet written when the processes were made is written once, and no warning is given."""
    done = script()
    assert (done.returncode, done.stdout, done.stderr) == (0, "before after\n", "")


def test_ctrl_c_ends_all_processes() -> None:
    """It reaches every process of the terminal; one of them reports it."""
    done = script("interrupt")
    assert done.returncode == -signal.SIGINT
    assert done.stderr.count("KeyboardInterrupt") == 1


def test_no_process_outlives_the_first() -> None:
    """Not even if that is killed."""
    assert script("kill").returncode == -signal.SIGKILL


# -- where it is not possible ------------------------------------------------------------------------


def test_beside_another_thread_there_is_one_process(
    beside_the_threads_of_xdist: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forked process would lack the thread; the result says so, and is the same."""
    monkeypatch.setattr(forked_makers, "why_not", beside_the_threads_of_xdist)
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name="a helper")
    thread.start()
    try:
        result = wavetank.search(crowd, schedules=40, jobs=2)
    finally:
        done.set()
        thread.join()
    assert (result.schedules, result.processes) == (40, 1)
    assert re.fullmatch(r"the thread '.*' is alive, and a forked process would lack it", result.one_process)


@pytest.mark.parametrize("jobs", [0, -1, "two", 1.5])
def test_a_wrong_number_is_refused(jobs: Any) -> None:
    """Before anything runs."""
    with pytest.raises(ValueError, match="give a whole number of processes"):
        wavetank.search(crowd, jobs=jobs)
