"""Replicas: modules, clocks and tasks of their own, and what a crash, a pause and a restart leave."""

from __future__ import annotations

import asyncio
import builtins
import gc
import importlib
import socket
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from wavetank import ReplicaCrashed, Run, Tank, load_scenario, search, simulate
from wavetank.scenario import Fault, Scenario
from wavetank.tank.real_world import RealWorld

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])

_LIMITER = """
from . import settings

taken = []

def take(item):
    taken.append(item)
    return len(taken), settings.NAME
"""
_WORKER = """
import anyio
import fleet_app.limiter
from fleet_app import limiter as by_from

async def main(tank, items):
    for item in items:
        tank.ledger.submit(item)
        answer = await tank.fake_llm.call("Do it.", item=item)
        tank.ledger.complete(item, answer.text)
    return list(fleet_app.limiter.taken)

async def take(item):
    import fleet_app.limiter as late
    assert late is by_from is fleet_app.limiter
    return late.take(item)
"""


@pytest.fixture
def fleet_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A small package, as a user would have one."""
    folder = tmp_path / "fleet_app"
    folder.mkdir()
    for name, text in (
        ("__init__", ""),
        ("settings", "NAME = 'shared'\n"),
        ("limiter", _LIMITER),
        ("worker", _WORKER),
    ):
        (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "fleet_app"]:
        del sys.modules[name]


def checked(main: Callable[[Tank], Any], backend: str = "asyncio", **options: Any) -> Run[Any]:
    run = simulate(main, backend=backend, **{"checks": (), **options})
    assert run.error is None, run.error
    assert run.kind is None, run.report()
    return run


def story(run: Run[Any]) -> list[tuple[str | None, str | None]]:
    """What happened to replicas."""
    return [(event.task, event.action) for event in run.events.of("replica")]


# -- modules ----------------------------------------------------------------------------------------


@both_backends
@pytest.mark.usefixtures("fleet_app")
def test_each_replica_has_the_named_modules_for_itself(backend: str) -> None:
    """Globals of named modules are the replica's own, however they are imported; the others are shared."""

    async def main(tank: Tank) -> Any:
        modules = ["fleet_app.limiter", "fleet_app.worker"]
        one, two = (tank.replica(name, modules=modules) for name in ("one", "two"))
        counts = [await each.run("fleet_app.worker:take", "a") for each in (one, one, two)]
        import fleet_app.limiter as shared  # type: ignore[import-not-found]

        assert shared.taken == []
        assert one["fleet_app.limiter"].taken == ["a", "a"]
        assert one["fleet_app.limiter"] is not two["fleet_app.limiter"] is not shared
        assert one["fleet_app.limiter"].settings is two["fleet_app.limiter"].settings
        with pytest.raises(KeyError, match=r"has no module .* of its own"):
            one["fleet_app.settings"]
        return counts

    assert checked(main, backend).value == [(1, "shared"), (2, "shared"), (1, "shared")]
    assert __import__("fleet_app").limiter.taken == []


@pytest.mark.usefixtures("fleet_app")
def test_a_package_brings_its_submodules_along() -> None:
    """A package that is named is imported whole by each replica, as far as the replica imports it."""

    async def main(tank: Tank) -> Any:
        one, two = (tank.replica(name, modules=["fleet_app"]) for name in ("one", "two"))
        await one.run("fleet_app.worker:take", "a")
        setattr(one["fleet_app.settings"], "NAME", "changed")  # noqa: B010 - a module has it, its type has not
        return await two.run("fleet_app.worker:take", "a"), await one.run("fleet_app.worker:take", "b")

    assert checked(main).value == ((1, "shared"), (2, "changed"))
    assert not [name for name in sys.modules if name.startswith("fleet_app")]


@pytest.mark.parametrize(
    ("modules", "error", "text"),
    [
        ("fleet_app", TypeError, r"give a list, modules=\['fleet_app'\]"),
        ([3], TypeError, "give the names of modules"),
        (["fleet_app.none"], ModuleNotFoundError, "there is no module of this name"),
        (["none_at_all.x"], ModuleNotFoundError, "there is no module of this name"),
        (["__main__"], ValueError, "a main module is not imported"),
        (["asyncio"], ValueError, "name your own"),
        (["wavetank.tank"], ValueError, "name your own"),
    ],
)
@pytest.mark.usefixtures("fleet_app")
def test_a_wrong_module_is_named(modules: Any, error: type[Exception], text: str) -> None:
    """What cannot be imported for one replica is refused at once, with the way out."""

    def main(tank: Tank) -> None:
        with pytest.raises(error, match=text):
            tank.replica("one", modules=modules)

    checked(main)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "a/b"}, "without a slash"),
        ({"name": ""}, "without a slash"),
        ({"crashes": -1}, "crashes=-1: give how often"),
        ({"pauses": 0.5}, "pauses=0.5: give how often"),
        ({"clock_offset": "soon"}, "soon"),
        ({"clock_offset": float("inf")}, "give seconds"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], text: str) -> None:
    """Arguments out of range are refused."""

    def main(tank: Tank) -> None:
        with pytest.raises((TypeError, ValueError), match=text):
            tank.replica(**{"name": "one", **options})
        tank.replica("one")
        with pytest.raises(ValueError, match="there is a replica 'one' already"):
            tank.replica("one")

    checked(main)


# -- clock and names --------------------------------------------------------------------------------


@both_backends
def test_a_replica_has_a_wall_clock_of_its_own(backend: str) -> None:
    """Its wall clock is ahead; what measures spans is not."""

    async def clocks() -> tuple[float, int, datetime, float]:
        return time.time(), time.time_ns(), datetime.now(UTC), time.monotonic()

    async def main(tank: Tank) -> Any:
        one = tank.replica("one", clock_offset="-1.5s")
        seen = await one.run(clocks)
        there = await one.run(asyncio.to_thread, time.time) if backend == "asyncio" else seen[0]
        assert (seen[0], seen[1], seen[3]) == (
            time.time() - 1.5,
            time.time_ns() - 1_500_000_000,
            time.monotonic(),
        )
        assert (datetime.now(UTC) - seen[2]).total_seconds() == 1.5
        assert there == seen[0]

    checked(main, backend)


@both_backends
def test_what_a_replica_does_bears_its_name(backend: str) -> None:
    """Events, and the list of what is blocked, say in which replica."""

    async def child(tank: Tank) -> None:
        tank.ledger.submit("a")
        await anyio.Event().wait()

    async def program(tank: Tank) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(child, tank)

    async def main(tank: Tank) -> None:
        await tank.replica("one").start(program, tank).wait()

    run = simulate(main, backend=backend, checks=())
    assert run.kind == "deadlock"
    [submitted] = run.events.of("submitted")
    assert submitted.task is not None
    assert submitted.task.startswith("one/")
    assert run.events.end is not None
    assert any("'one/program" in each for each in run.events.end.blocked)


# -- the crash --------------------------------------------------------------------------------------


@both_backends
def test_a_crash_runs_no_code_of_the_replica(backend: str) -> None:
    """No `except`, `finally` or `with` of any of its tasks runs, not even when the run is over."""
    assert anyio.TaskHandle.__module__ == "anyio"  # which it is only when somebody has asked for it
    ran: list[str] = []

    @contextmanager
    def block(name: str) -> Iterator[None]:
        try:
            yield
        finally:
            ran.append(name)

    @asynccontextmanager
    async def async_block(name: str) -> Any:
        try:
            yield
        finally:
            ran.append(name)

    async def numbers() -> Any:
        try:
            for number in range(9):
                await anyio.sleep(0.5)
                yield number
        finally:
            ran.append("generator")

    async def child() -> None:
        try:
            async for _ in numbers():
                await anyio.sleep(1)
        except BaseException:
            ran.append("except")
            raise
        finally:
            ran.append("finally")

    async def program() -> None:
        with block("with"), ExitStack() as stack, anyio.move_on_after(1000):
            stack.enter_context(block("stack"))
            stack.callback(ran.append, "callback")
            async with async_block("async with"), AsyncExitStack() as more:
                await more.enter_async_context(async_block("async stack"))
                async with anyio.create_task_group() as group:
                    group.start_soon(child)
                    group.start_soon(child)
                    await anyio.sleep(100)

    async def main(tank: Tank) -> None:
        one = tank.replica("one")
        for at in (0, 0.2, 0.7):
            task = one.start(program)
            await anyio.sleep(at)
            one.crash()
            with pytest.raises(ReplicaCrashed):
                await task.wait()
            one._tasks.clear()
            one.restart()
        one.crash()
        gc.collect()
        await anyio.sleep(2000)

    checked(main, backend)
    gc.collect()
    assert ran == []


@both_backends
def test_a_crash_resets_connections_and_keeps_what_was_paid(backend: str) -> None:
    """A request that was under way is served and counted; its answer is lost, and other clients go on."""

    async def ask(item: str) -> int:
        async with httpx2.AsyncClient() as client:
            body = {"model": "m", "messages": [{"role": "user", "content": item}]}
            headers = {"authorization": "Bearer k", "x-wavetank-item": item}
            url = "https://api.openai.com/v1/chat/completions"
            return (await client.post(url, json=body, headers=headers, timeout=60)).status_code

    async def main(tank: Tank) -> Any:
        one, two = tank.replica("one"), tank.replica("two")
        lost, kept = one.start(ask, "a"), two.start(ask, "b")
        await anyio.sleep(0.01)
        assert tank.fake_llm.in_flight == 2
        one.crash()
        assert tank.fake_llm.in_flight == 1
        with pytest.raises(ReplicaCrashed, match="replica 'one' has crashed"):
            await lost.wait()
        return await kept.wait()

    run = checked(main, backend)
    assert run.value == 200
    assert [event.item for event in run.events.of("left")] == ["a"]
    assert [event.item for event in run.events.of("delivered")] == ["b"]


@both_backends
@pytest.mark.usefixtures("fleet_app")
def test_others_see_the_crash_and_a_restart_runs_what_was_started(backend: str) -> None:
    """`run` raises, `start` is run again with modules imported afresh, and what had ended is not."""

    async def main(tank: Tank) -> Any:
        one = tank.replica("one", modules=["fleet_app.limiter", "fleet_app.worker"])
        ended = one.start("fleet_app.worker:take", "before")
        await ended.wait()
        started = one.start("fleet_app.worker:main", tank, ["a", "b"])
        caught: list[str] = []

        async def call() -> None:
            try:
                await one.run(anyio.sleep, 100)
            except ReplicaCrashed as crash:
                caught.append(str(crash))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.sleep(0.01)
            one.crash()
            one.crash()
        with pytest.raises(ReplicaCrashed, match=r"call restart\(\) first"):
            one.start(anyio.sleep, 1)
        one.restart()
        assert one["fleet_app.limiter"].taken == []
        return caught, await started.wait(), await ended.wait()

    run = checked(main, backend)
    assert run.value == (["replica 'one' has crashed"], [], (1, "shared"))
    assert story(run) == [("one", "started"), ("one", "crashed"), ("one", "restarted")]
    assert [event.item for event in run.events.of("completed")] == ["a", "b"]


@both_backends
def test_a_replica_may_crash_itself(backend: str) -> None:
    """Its own code goes on to the next await, and not beyond."""
    ran: list[str] = []

    async def main(tank: Tank) -> None:
        one = tank.replica("one")

        async def program() -> None:
            try:
                one.crash()
                ran.append("rest of the step")
                await anyio.sleep(0)
                ran.append("next step")
            finally:
                ran.append("finally")

        with pytest.raises(ReplicaCrashed):
            await one.start(program).wait()
        await anyio.sleep(10)

    checked(main, backend)
    assert ran == ["rest of the step"]


@both_backends
def test_a_crash_closes_a_socket_that_is_not_connected(backend: str) -> None:
    """Else it warns when it is collected: trio lets others run before it connects or closes a socket."""
    made: list[socket.socket] = []

    async def main(tank: Tank) -> None:
        async def program() -> None:
            one, other, idle = socket.socket(), socket.socket(), socket.socket()
            made.extend((one, other, idle))
            for each in (one, other):
                with pytest.raises(ConnectionRefusedError):
                    each.connect(("api.openai.com", 443))
            other.close()
            await anyio.sleep(10)

        replica = tank.replica("one")
        replica.start(program)
        await anyio.sleep(1)
        assert [each.fileno() >= 0 for each in made] == [True, False, True]
        replica.crash()

    refusing = Scenario(fault=(Fault(kind="connection-refused", times=2),))
    simulate(main, refusing, backend=backend, checks=()).check()
    assert [each.fileno() for each in made] == [-1, -1, -1]


def test_threads_of_a_crashed_replica_stand_still() -> None:
    """A plain function has a thread, which goes no further after the crash while the run lasts."""
    ran: list[str] = []

    def work(name: str, tank: Tank) -> str:
        for _ in range(3):
            time.sleep(1)
            ran.append(f"{name} {threading.current_thread().name} {tank.now():g}")
        return name

    def main(tank: Tank) -> Any:
        one, two = tank.replica("one"), tank.replica("two")
        lost, kept = one.start(work, "a", tank), two.start(work, "b", tank)
        time.sleep(1.5)
        one.crash()
        two.pause(5)
        with pytest.raises(ReplicaCrashed):
            lost.join()
        return kept.join()

    assert checked(main).value == "b"
    assert ran[:2] == ["a work 1", "b work 1"]
    assert ran[2:4] == ["b work 6.5", "b work 7.5"]


def test_an_error_of_the_program_reaches_what_waits_for_it() -> None:
    """`wait` and `run` raise what the function raised."""

    async def program() -> None:
        raise ValueError("wrong")

    async def main(tank: Tank) -> None:
        one = tank.replica("one")
        with pytest.raises(ValueError, match="wrong"):
            await one.run(program)
        one.start(program)
        with pytest.raises(ValueError, match="wrong"):
            await one.wait()

    checked(main)


def test_a_coroutine_function_needs_an_event_loop() -> None:
    """Started from a plain function it is refused, with the way out."""

    def main(tank: Tank) -> None:
        with pytest.raises(RuntimeError, match="start it from a coroutine"):
            tank.replica("one").start(anyio.sleep, 1)
        for wrong, text in (("app", "write MODULE:FUNCTION"), (3, "give a function")):
            with pytest.raises((TypeError, ValueError), match=text):
                tank.replica(f"for {wrong}").start(wrong)  # type: ignore[arg-type]

    checked(main)


# -- pauses -----------------------------------------------------------------------------------------


@both_backends
def test_a_paused_replica_goes_on_where_it_was(backend: str) -> None:
    """Time passes meanwhile: what was due is done late, and a deadline that has passed counts."""
    seen: list[tuple[str, float]] = []

    async def program(tank: Tank) -> None:
        await anyio.sleep(1)
        seen.append(("slept", tank.now()))
        with anyio.move_on_after(2) as scope:
            await anyio.sleep(5)
        seen.append((f"cancelled: {scope.cancelled_caught}", tank.now()))

    async def main(tank: Tank) -> None:
        one = tank.replica("one")
        task = one.start(program, tank)
        await anyio.sleep(0.5)
        one.pause(10)
        one.pause(1)
        await task.wait()
        for wrong in (0, -1, "1", True, float("inf")):
            with pytest.raises(ValueError, match="give a number of seconds above 0"):
                one.pause(wrong)  # type: ignore[arg-type]

    run = checked(main, backend)
    assert seen == [("slept", 10.5), ("cancelled: True", 12.5)]
    assert story(run) == [("one", "started"), ("one", "paused"), ("one", "resumed")]


# -- what a search does -----------------------------------------------------------------------------


async def _lost_if_crashed(tank: Tank) -> None:
    stored: dict[str, str] = {}

    async def program() -> None:
        for item in ("a", "b", "c"):
            if stored.get(item) is None:
                stored[item] = "taken"
                await tank.fake_llm.call("x", item=item)
                stored[item] = "done"

    one = tank.replica("one", crashes=1)
    one.start(program)
    await one.wait()
    assert set(stored.values()) == {"done"}, stored


@both_backends
def test_a_search_lets_replicas_crash(backend: str) -> None:
    """A job that is marked as taken and lost with its process is found, shrunk to the crash, and repeated."""
    result = search(_lost_if_crashed, schedules=100, backend=backend, checks=())
    failure = result.failure
    assert failure is not None
    assert failure.kind == "error"
    assert "replica 'one' crashes at its step" in failure.report()
    assert len(failure.deviations) <= 2
    again = simulate(_lost_if_crashed, backend=backend, schedule=failure.schedule, checks=())
    assert again.events.to_ndjson(waits=False) == failure.events.to_ndjson(waits=False)
    checked(_lost_if_crashed, backend)


@both_backends
def test_a_search_pauses_replicas(backend: str) -> None:
    """A lease that is shorter than a pause is lost, and outside of a search nothing pauses."""

    async def main(tank: Tank) -> None:
        async def program() -> None:
            for _ in range(8):
                began = tank.now()
                await anyio.sleep(0.5)
                assert tank.now() - began < 30

        one = tank.replica("one", pauses=1)
        one.start(program)
        await one.wait()

    failure = search(main, schedules=100, backend=backend, checks=()).failure
    assert failure is not None
    assert "replica 'one' pauses for 1m" in failure.report()
    checked(main, backend)


def test_a_replica_that_stays_down_is_told_of() -> None:
    """Without restarts what waits hears of the crash, in the search as well."""

    async def main(tank: Tank) -> None:
        one = tank.replica("one", crashes=1, restarts=False)
        one.start(anyio.sleep, 1)
        await one.wait()

    failure = search(main, schedules=100, checks=()).failure
    assert failure is not None
    assert isinstance(failure.error, ReplicaCrashed)


@both_backends
@pytest.mark.usefixtures("fleet_app")
def test_the_same_schedule_gives_the_same_log(backend: str) -> None:
    """Crashes, restarts and pauses leave nothing to chance."""

    async def main(tank: Tank) -> None:
        fleet = [
            tank.replica(name, modules=["fleet_app.worker"], crashes=1, pauses=1) for name in ("one", "two")
        ]
        for each in fleet:
            each.start("fleet_app.worker:main", tank, [f"{each.name}-{number}" for number in range(3)])
        for each in fleet:
            await each.wait()
        if any(event.action == "crashed" for event in tank.events):
            raise AssertionError("stop here")

    failure = search(main, schedules=50, backend=backend, checks=()).failure
    assert failure is not None
    logs = {
        simulate(main, backend=backend, schedule=failure.schedule, checks=()).events.to_ndjson(waits=False)
        for _ in range(2)
    }
    assert logs == {failure.events.to_ndjson(waits=False)}


# -- other ways to run ------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_replicas_live_in_a_pytest_test_on_asyncio(tank: Tank) -> None:
    """The fixture has them as well: a crash leaves the test itself alone."""
    await _a_crash_in_a_test(tank)


@pytest.mark.trio
async def test_replicas_live_in_a_pytest_test_on_trio(tank: Tank) -> None:
    """The same under pytest-trio."""
    await _a_crash_in_a_test(tank)


async def _a_crash_in_a_test(tank: Tank) -> None:
    one = tank.replica("one", clock_offset=5)
    started = one.start(anyio.sleep, 10)
    await anyio.sleep(1)
    one.crash()
    with pytest.raises(ReplicaCrashed):
        await started.wait()
    one.restart()
    await one.wait()
    assert tank.now() == 11


@pytest.mark.usefixtures("fleet_app")
def test_in_real_time_replicas_run_and_do_not_crash() -> None:
    """Modules of their own make sense there; what needs virtual time says so."""
    world = RealWorld(load_scenario("calm"), seed=0)
    tank = world.parts.tank

    async def main() -> Any:
        one, two = (
            tank.replica(name, modules=["fleet_app.worker", "fleet_app.limiter"]) for name in ("1", "2")
        )
        found = [await each.run("fleet_app.worker:take", "a") for each in (one, one, two)]
        for wish in (one.crash, one.restart, lambda: one.pause(1), lambda: tank.add_redis("cache")):
            with pytest.raises(RuntimeError, match=r"needs virtual time"):
                wish()
        with pytest.raises(RuntimeError, match=r"needs virtual time"):
            tank.replica("3", clock_offset=1)
        return found

    try:
        assert asyncio.run(main()) == [(1, "shared"), (2, "shared"), (1, "shared")]
    finally:
        world.close()


def test_a_run_with_replicas_leaves_no_trace(tmp_path: Path) -> None:
    """Imports are as before, and what crashed is freed: a long search grows no memory by it."""
    imports = builtins.__import__, importlib.import_module
    gone: list[weakref.ref[Any]] = []

    class Big:
        pass

    async def program(big: Big) -> None:
        with (tmp_path / "log.txt").open("a") as file:
            file.write("begun")
            file.flush()
            file.write("lost with the process")
            await anyio.sleep(100)
            del big

    async def main(tank: Tank) -> None:
        one, big = tank.replica("one"), Big()
        gone.append(weakref.ref(big))
        one.start(program, big)
        await anyio.sleep(1)
        one.crash()

    checked(main)
    gc.collect()
    assert (builtins.__import__, importlib.import_module) == imports
    assert [each() for each in gone] == [None]
    assert (tmp_path / "log.txt").read_text() == "begun"
