"""Tests that end in every way, on every engine, and leave much behind; `test_plain` looks at the process."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx2
import pytest
import trio
from snapshot import Parts, differences, snapshot  # type: ignore[import-not-found]  # beside it, where it is run

import wavetank

WAYS: dict[str, Callable[[], object]] = {
    "passes": lambda: None,
    "fails": lambda: pytest.fail("it does"),
    "exits": lambda: _raise(SystemExit(3)),
    "interrupted": lambda: signal.raise_signal(signal.SIGINT),
    "stops": lambda: pytest.exit("it does"),
}
STANDARD = (
    *(
        "_thread",
        "_socket",
        "asyncio",
        "asyncio.events",
        "asyncio.runners",
        "asyncio.base_events",
        "builtins",
    ),
    *("concurrent.futures", "concurrent.futures.thread", "concurrent.futures._base", "datetime", "logging"),
    *(
        "multiprocessing",
        "multiprocessing.connection",
        "os",
        "queue",
        "random",
        "select",
        "selectors",
        "signal",
    ),
    *("socket", "ssl", "subprocess", "sys", "threading", "time", "uuid", "warnings"),
    *("anyio", "anyio.pytest_plugin", "anyio._backends._asyncio", "anyio._backends._trio"),
    *("httpx", "httpcore", "httpx2", "httpcore2", "aiohttp", "requests", "urllib3", "urllib3.connectionpool"),
    *("openai", "trio", "trio._core._run", "trio._threads"),
)
SENT = {"model": "m", "messages": [{"role": "user", "content": "row 1"}]}
URL = "https://api.openai.com/v1/chat/completions"
HEADERS = {"authorization": "Bearer key"}


def _raise(error: BaseException) -> None:
    raise error


def act(way: str, where: str, here: str) -> None:
    if where == here:
        WAYS[way]()


def ending(*ways: str) -> pytest.MarkDecorator:
    """Run a test with each of these ends, in each of its phases."""
    phases = ("setup", "call", "teardown")
    ends = [(way, where) for way in ways for where in phases if where == "call" or way != "passes"]
    return pytest.mark.parametrize(("way", "where"), ends, ids=[f"{way} in {where}" for way, where in ends])


in_every_way = ending(*WAYS)
in_many_ways = ending("passes", "fails", "exits")


@pytest.fixture
def around(way: str, where: str) -> Iterator[None]:
    act(way, where, "setup")
    yield
    act(way, where, "teardown")


@pytest.fixture
async def async_around(anyio_backend: str, way: str, where: str) -> AsyncIterator[None]:  # noqa: ARG001
    act(way, where, "setup")
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 1)
    yield
    await anyio.sleep(1)
    act(way, where, "teardown")


async def program(way: str, where: str) -> None:
    async with httpx2.AsyncClient() as client:
        await client.post(URL, headers=HEADERS, json=SENT)
    await anyio.to_thread.run_sync(time.sleep, 1)
    act(way, where, "call")


@in_every_way
@pytest.mark.usefixtures("around", "fake_llm")
def test_sync(way: str, where: str) -> None:
    """Leaves threads, a pool, a loop and an alarm."""
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    ThreadPoolExecutor(2).submit(time.sleep, 3)
    httpx2.post(URL, headers=HEADERS, json=SENT)
    signal.setitimer(signal.ITIMER_REAL, 100)
    threading.Thread(target=asyncio.new_event_loop().run_forever, daemon=True).start()
    act(way, where, "call")


@in_many_ways
@pytest.mark.usefixtures("around", "fake_llm")
def test_two_engines(way: str, where: str) -> None:
    trio.run(program, "passes", "call")
    asyncio.run(program(way, where))


@in_every_way
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.usefixtures("async_around", "fake_llm")
async def test_anyio(way: str, where: str) -> None:
    await program(way, where)


@in_every_way
@pytest.mark.asyncio
@pytest.mark.usefixtures("around", "fake_llm")
async def test_pytest_asyncio(way: str, where: str) -> None:
    await program(way, where)


@in_many_ways
@pytest.mark.llm_clock("real")
@pytest.mark.usefixtures("around", "fake_llm")
def test_real_time(way: str, where: str) -> None:
    httpx2.post(URL, headers=HEADERS, json=SENT)
    act(way, where, "call")


@in_many_ways
@pytest.mark.usefixtures("around")
@wavetank.explore(scenario="calm", schedules=2)
async def test_explored(tank: wavetank.Tank, way: str, where: str) -> None:
    tank.ledger.submit("row 1")
    await program(way, where)


NUMBER = 70
"""As many as the other tests, and one for the beginning."""

seen: list[Parts] = []


@pytest.mark.parametrize("number", range(NUMBER))
def test_plain(number: int) -> None:
    """A test that does not know wavetank finds the process as the first one did."""
    now = snapshot(STANDARD)
    if number == 0:
        seen[:] = [now]
    else:
        found = differences(seen[0], now)
        assert not found, "\n".join(found)
