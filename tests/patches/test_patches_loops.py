"""Event loops as people make them: a run's own loops stand in for all others its threads use."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path

import anyio.from_thread
import pytest
import uvloop

import wavetank
from wavetank.sim.errors import RealLoop
from wavetank.tank.hosted_world import Hosted

MADE_BEFORE = asyncio.SelectorEventLoop()


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    yield
    MADE_BEFORE.close()


async def five_seconds() -> float:
    await asyncio.sleep(5)
    return asyncio.get_running_loop().time()


def in_a_run(program: Callable[[], object]) -> None:
    """Run a sync program as a test in virtual time."""
    hosted = Hosted(wavetank.load_scenario("calm"), seed=0, replay="")
    try:
        with hosted.phase():
            try:
                program()
            finally:
                hosted.close()
    finally:
        hosted.leave()


class Subclass(asyncio.SelectorEventLoop):
    """A loop of a kind that only its program knows."""


def current() -> float:
    return asyncio.get_event_loop_policy().get_event_loop().run_until_complete(five_seconds())


def from_the_policy() -> float:
    loop = asyncio.get_event_loop_policy().new_event_loop()
    try:
        return loop.run_until_complete(five_seconds())
    finally:
        loop.close()


def set_by_hand() -> float:
    loop = Subclass()
    asyncio.set_event_loop(loop)
    try:
        return current()
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def by_hand() -> float:
    loop = asyncio.SelectorEventLoop()
    try:
        task = loop.create_task(five_seconds())
        loop.run_until_complete(asyncio.wait([task]))
        assert not loop.is_running()
        return task.result()
    finally:
        loop.close()
        assert loop.is_closed()
        with pytest.raises(RuntimeError, match="closed"):
            loop.call_soon(print)


def in_a_thread() -> float:
    out: list[float] = []
    thread = threading.Thread(target=lambda: out.append(by_hand()))
    thread.start()
    thread.join()
    return out[0]


WAYS = [
    current,
    from_the_policy,
    set_by_hand,
    by_hand,
    in_a_thread,
    lambda: MADE_BEFORE.run_until_complete(five_seconds()),
    lambda: asyncio.run(five_seconds()),
]


# Python 3.12 and newer warn, as they do outside of a run, when the policy has to make a loop.
@pytest.mark.filterwarnings("ignore:There is no current event loop:DeprecationWarning")
@pytest.mark.parametrize("way", WAYS)
def test_every_loop_is_virtual(way: Callable[[], float]) -> None:
    """However it was made, and in the next run again."""

    def program() -> None:
        assert [way(), way()] == [5, 10]

    for _ in range(2):
        in_a_run(program)


def test_the_current_loop_of_the_process_is_given_back() -> None:
    """What a run sets is its own, in all its phases, and none of it is left to the process."""
    before = MADE_BEFORE
    asyncio.set_event_loop(before)
    hosted = Hosted(wavetank.load_scenario("calm"), seed=0, replay="")
    try:
        loop = asyncio.SelectorEventLoop()
        with hosted.phase():
            asyncio.set_event_loop(loop)
        assert asyncio.get_event_loop_policy().get_event_loop() is before
        with hosted.phase():
            assert asyncio.get_event_loop_policy().get_event_loop() is loop
            hosted.close()
        loop.close()
        assert before.run_until_complete(asyncio.sleep(0, "real")) == "real"
    finally:
        asyncio.set_event_loop(None)


# -- loops of the process ----------------------------------------------------------------------------


FACADES: list[Facade] = []


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """The threads of a test's facades end with it: a later test would report them as foreign ones."""
    yield
    for facade in FACADES:
        facade.end()
    FACADES.clear()


class Facade:
    """The blocking face of an async library: one loop in a thread of its own, made at the first use."""

    def __init__(self, *, closes: bool = False) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self._closes = closes
        FACADES.append(self)

    def end(self) -> None:
        """End the thread if it is a real one; those of a run ended with it."""
        if self.thread is not None and self.thread.is_alive() and self.loop is not None:
            self._closes = True
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()

    def start(self) -> asyncio.AbstractEventLoop:
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            self.thread = threading.Thread(target=self._run, args=(self.loop,), daemon=True)
            self.thread.start()
        return self.loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            if self._closes:
                loop.close()

    def call(self, seconds: float) -> float:
        async def work() -> float:
            await asyncio.sleep(seconds)
            return asyncio.get_running_loop().time()

        future: Future[float] = asyncio.run_coroutine_threadsafe(work(), self.start())
        return future.result()


@pytest.mark.parametrize("closes", [False, True])
def test_a_loop_made_in_one_run_works_in_the_next(closes: bool) -> None:
    """In virtual time again, also if its thread closes it when it ends; and the library finds it running."""
    facade = Facade(closes=closes)

    def program() -> None:
        assert [facade.call(5), facade.call(5)] == [5, 10]
        assert facade.start().is_running()

    for _ in range(3):
        in_a_run(program)


def test_a_search_has_a_fresh_one_in_each_run() -> None:
    """Its schedules repeat, whichever run was the first to make the loop."""
    facade = Facade()

    async def main(tank: wavetank.Tank) -> list[float]:
        calls = [asyncio.to_thread(facade.call, seconds) for seconds in (3, 5)]
        out = await asyncio.gather(*calls)
        assert tank.now() == 5
        return out

    assert wavetank.search(main, schedules=20, level="batch-instant").failure is None
    for _ in range(2):
        run = wavetank.simulate(main)
        run.check()
        assert run.value == [3, 5]


@pytest.mark.parametrize("made_in_a_run", [False, True])
def test_a_loop_works_where_no_run_is(made_in_a_run: bool) -> None:
    """In real time, before a run and after it."""
    facade = Facade()
    if not made_in_a_run:
        assert facade.call(0) > 0
    for _ in range(2):
        in_a_run(lambda: facade.call(5))
        assert facade.call(0) > 0


def test_a_portal_of_wider_scope_calls_into_the_run() -> None:
    """anyio's portal, which test clients keep open, runs what the test gives it in the test's time."""

    seen: list[float] = []

    async def work() -> float:
        await anyio.sleep(5)
        return anyio.current_time()

    with anyio.from_thread.start_blocking_portal() as portal:
        for _ in range(2):
            in_a_run(lambda: seen.extend([portal.call(work), portal.start_task_soon(work).result()]))
        assert portal.call(asyncio.sleep, 0, "real") == "real"
    assert seen == [5, 10] * 2


def test_tasks_left_in_a_loop_end_with_their_run() -> None:
    """They do not go on in the next one."""
    facade = Facade()
    seen: list[float] = []

    async def ticks() -> None:
        while True:
            await asyncio.sleep(1)
            seen.append(asyncio.get_running_loop().time())

    def first() -> None:
        asyncio.run_coroutine_threadsafe(ticks(), facade.start())
        facade.call(3.5)

    in_a_run(first)
    in_a_run(lambda: facade.call(3.5))
    assert seen == [1, 2, 3]


def test_a_thread_in_asyncio_run_ends_silently_with_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """`asyncio.run` runs its loop once more to cancel the tasks, which it cannot when the run is over.

    Such a thread is the one with which pyrate-limiter removes old entries from its buckets.
    """
    heard: list[object] = []
    monkeypatch.setattr(threading, "excepthook", heard.append)
    ticked: list[float] = []

    async def ticks() -> None:
        while True:
            await asyncio.sleep(1)
            ticked.append(asyncio.get_running_loop().time())

    async def program() -> None:
        threading.Thread(target=lambda: asyncio.run(ticks()), daemon=True).start()
        await asyncio.sleep(3.5)

    run = wavetank.simulate(lambda _: program(), "calm")
    assert run.kind is None
    assert len(ticked) == 3
    assert heard == []


def test_code_that_looks_at_the_selector_learns_why_there_is_none() -> None:
    """`hasattr` says no, as of other loops without one."""

    def program() -> None:
        loop = asyncio.new_event_loop()
        with pytest.raises(AttributeError, match="virtual time has no _selector"):
            vars(type(loop))["_selector"].__get__(loop)
        assert not hasattr(loop, "_selector")
        loop.close()

    in_a_run(program)


UVLOOP = """
import asyncio
class Loop(asyncio.SelectorEventLoop): pass
def new_event_loop(): return Loop()
def run(main):
    async def wrapper():
        assert isinstance(asyncio.get_running_loop(), Loop)
        return await main
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(wrapper())
"""


@pytest.mark.parametrize("early", [True, False])
def test_uvloop_is_virtual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool) -> None:
    """Its `run` insists on a loop of its own class, and finds one."""
    (tmp_path / "uvloop.py").write_text(UVLOOP)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "uvloop", raising=False)
    if early:
        importlib.import_module("uvloop")

    def program() -> None:
        uvloop = importlib.import_module("uvloop")
        assert uvloop.run(five_seconds()) == 5
        loop = uvloop.new_event_loop()
        assert loop.run_until_complete(five_seconds()) == 10
        loop.close()

    in_a_run(program)
    real = importlib.import_module("uvloop").new_event_loop()
    assert real.__module__ == "uvloop"
    real.close()


# -- the real uvloop ---------------------------------------------------------------------------------


def under_its_policy() -> float:
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        loop = asyncio.get_event_loop_policy().new_event_loop()
        loop.close()
        return asyncio.run(five_seconds())
    finally:
        asyncio.set_event_loop_policy(before)


def by_a_factory() -> float:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(five_seconds())


def by_its_class() -> float:
    loop = uvloop.Loop()
    try:
        return loop.run_until_complete(five_seconds())
    finally:
        loop.close()


@pytest.mark.filterwarnings("ignore:.*policy.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    "way", [under_its_policy, by_a_factory, by_its_class, lambda: uvloop.run(five_seconds())]
)
def test_loops_of_uvloop_are_virtual(way: Callable[[], float]) -> None:
    """However they are made in a run."""

    def program() -> None:
        assert [way(), way()] == [5, 10]

    in_a_run(program)


def test_a_loop_of_uvloop_from_before_the_run_is_refused() -> None:
    """It would be real time in silence, and cannot be stood in for; it goes on working outside."""
    loop = uvloop.new_event_loop()

    def program() -> None:
        work = five_seconds()
        with pytest.raises(RealLoop, match="Make the loop inside the test"):
            loop.run_until_complete(work)
        work.close()
        assert asyncio.run(five_seconds()) == 5

    in_a_run(program)
    assert loop.run_until_complete(asyncio.sleep(0, "real")) == "real"
    loop.close()
