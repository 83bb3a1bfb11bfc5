"""Each way in: the log says which task sent a request, and from which line of the program."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import aiohttp
import anthropic
import anyio
import httpx
import httpx2
import openai
import pytest
import requests
from starlette.testclient import TestClient

import wavetank
from wavetank import Tank
from wavetank.events import Event, EventLog
from wavetank.sim.origin import name_of_file

URL = "https://api.openai.com/v1/chat/completions"
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
AUTH = {"authorization": "Bearer k"}

Way = Callable[[Tank], Coroutine[Any, Any, None]]


async def direct(tank: Tank) -> None:
    await tank.fake_llm.call("hi")


async def by_httpx(_: Tank) -> None:
    async with httpx.AsyncClient() as client:
        await client.post(URL, json=BODY, headers=AUTH)


async def by_httpx_blocking(_: Tank) -> None:
    httpx.post(URL, json=BODY, headers=AUTH)


async def by_transport(tank: Tank) -> None:
    async with httpx2.AsyncClient(transport=tank.fake_llm.httpx2_transport()) as client:
        await client.post(URL, json=BODY, headers=AUTH)


async def by_openai(_: Tank) -> None:
    async with openai.AsyncOpenAI() as client:
        await client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])


async def by_anthropic_stream(_: Tank) -> None:
    async with anthropic.AsyncAnthropic() as client:
        asked = client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
        async with asked as stream:
            await stream.get_final_text()


async def by_requests(_: Tank) -> None:
    requests.post(URL, json=BODY, headers=AUTH, timeout=60)


async def by_aiohttp(_: Tank) -> None:
    async with aiohttp.ClientSession() as session, session.post(URL, json=BODY, headers=AUTH) as answer:
        await answer.read()


ON_BOTH = (
    direct, by_httpx, by_httpx_blocking, by_transport, by_openai, by_anthropic_stream, by_requests
)  # fmt: skip


def arrived(log: EventLog) -> Event:
    (event,) = log.of("arrived")
    return event


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("way", ON_BOTH)
def test_a_request_has_its_task_and_line(way: Way, backend: str) -> None:
    """A line of the function that asks, in this file, whatever library carries the request."""
    assert_told(way, backend)


def test_a_request_of_aiohttp_has_its_task_and_line() -> None:
    """Also where a library writes the request in a task of its own."""
    assert_told(by_aiohttp, "asyncio")


def assert_told(way: Way, backend: str) -> None:
    async def main(tank: Tank) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(way, tank, name="asker")

    event = arrived(wavetank.simulate(main, backend=backend).events)
    code = inspect.unwrap(way).__code__
    lines = {line for _, _, line in code.co_lines() if line is not None}
    assert event.task == "asker"
    assert event.file == name_of_file(__file__)
    assert event.line in lines


def test_the_ledger_says_who_and_where() -> None:
    """Submission and outcome have the task and the line that entered them."""

    async def main(tank: Tank) -> None:
        tank.ledger.submit("a")
        first = sys._getframe().f_lineno - 1

        async def work() -> None:
            tank.ledger.complete("a", "x")

        await asyncio.create_task(work(), name="worker-7")
        tank.ledger.cancel("a")
        places.append(first)

    places: list[int] = []
    log = wavetank.simulate(main).events
    assert [(event.kind, event.task) for event in log] == [
        ("submitted", "main"),
        ("completed", "worker-7"),
        ("cancelled", "main"),
    ]
    assert log[0].line == places[0]
    assert {event.file for event in log} == {name_of_file(__file__)}


def test_a_thread_has_its_name() -> None:
    """A request of a plain thread is its own, and that of an unnamed task has the name of reports."""

    async def main(tank: Tank) -> None:
        thread = threading.Thread(target=lambda: requests.post(URL, json=BODY, timeout=60), name="sender")
        thread.start()
        thread.join()
        await asyncio.create_task(direct(tank))

    log = wavetank.simulate(main).events
    assert [(event.task, event.file) for event in log.of("arrived")] == [
        ("sender", name_of_file(__file__)),
        ("direct#2", name_of_file(__file__)),
    ]


@pytest.mark.llm_clock("real")
def test_a_server_knows_no_place(fake_llm: wavetank.FakeLLM, tank: Tank) -> None:
    """A request that came to a server has no frame of the user's behind it."""
    with TestClient(fake_llm.asgi_app(), base_url="https://api.openai.com") as client:
        client.post("/v1/chat/completions", json=BODY, headers=AUTH)
    event = arrived(tank.events)
    assert (event.file, event.line) == (None, None)
