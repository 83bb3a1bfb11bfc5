"""All HTTP libraries at once: what is borrowed, which desk answers, and that all is given back."""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import aiohttp
import anyio
import anyio.to_thread
import httpcore
import httpcore2
import httpx
import httpx2
import pytest
import requests
import urllib3

import wavetank
from wavetank import Tank
from wavetank.scenario import Scenario
from wavetank.tank.real_world import RealWorld

CHAT = "https://api.openai.com/v1/chat/completions"
BEARER = {"authorization": "Bearer k"}
QUESTION = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

BORROWED = [(core._backends.auto.AutoBackend, "connect_tcp") for core in (httpcore, httpcore2)] + [
    (httpcore2.ConnectionPool, "handle_request"),
    (aiohttp.TCPConnector, "_create_connection"),
    (aiohttp.BaseConnector, "connect"),
    (aiohttp.ClientResponse, "release"),
    (urllib3.connection.HTTPSConnection, "connect"),
    (urllib3.connection.HTTPConnection, "is_connected"),
    (urllib3.HTTPConnectionPool, "urlopen"),
]


def attributes() -> list[Any]:
    return [vars(owner).get(name) for owner, name in BORROWED]


@pytest.fixture
def worlds() -> Iterator[list[RealWorld]]:
    made = [RealWorld(Scenario(), seed=0) for _ in range(2)]
    yield made
    for world in made:
        world.close()


def by_requests() -> int:
    return requests.post(CHAT, json=QUESTION, headers=BEARER).status_code


def by_httpx() -> int:
    return httpx.post(CHAT, json=QUESTION, headers=BEARER).status_code


def by_httpx2() -> int:
    return httpx2.post(CHAT, json=QUESTION, headers=BEARER).status_code


ASKS = (by_requests, by_httpx, by_httpx2)


def counts(worlds: list[RealWorld]) -> list[int]:
    return [len(world.parts.desk.records) for world in worlds]


@pytest.mark.parametrize("ask", ASKS)
def test_blocks_may_be_nested(worlds: list[RealWorld], ask: Callable[[], int]) -> None:
    """Clients meet the inner fake inside, and the outer one again after it."""
    before = attributes()
    outer, inner = (world.parts.tank.fake_llm for world in worlds)
    with outer.installed():
        ask()
        with inner.installed(), inner.installed():
            ask()
            ask()
        ask()
    assert counts(worlds) == [2, 2]
    assert attributes() == before


def test_a_fake_that_is_installed_again_is_met_again(worlds: list[RealWorld]) -> None:
    """The block that began last decides, also when its fake stands behind an outer block, too."""
    before = attributes()
    first, second = (world.parts.tank.fake_llm for world in worlds)
    with first.installed(), second.installed():
        by_httpx()
        with first.installed():
            by_httpx()
            by_httpx()
        by_httpx()
    assert counts(worlds) == [2, 2]
    assert attributes() == before


def test_blocks_of_one_fake_may_overlap(worlds: list[RealWorld]) -> None:
    """The fake stays until the last of its blocks has ended, whichever that is."""
    before = attributes()
    fake = worlds[0].parts.tank.fake_llm
    first, second = ExitStack(), ExitStack()
    first.enter_context(fake.installed())
    second.enter_context(fake.installed())
    first.close()
    by_httpx()
    second.close()
    assert counts(worlds) == [1, 0]
    assert attributes() == before


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_a_library_that_is_imported_again_meets_the_fake(
    library: str, worlds: list[RealWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some tests drop modules and import them again, as runs of pytest within pytest do."""
    with worlds[0].borrowed():
        by_httpx()
        by_httpx2()
    for name in [*sys.modules]:
        if name.partition(".")[0] in (library, library.replace("httpx", "httpcore")):
            monkeypatch.delitem(sys.modules, name)
    again: Any = importlib.import_module(library)
    assert again not in (httpx, httpx2)
    with worlds[1].borrowed():
        again.post(CHAT, headers=BEARER, json=QUESTION)
    assert counts(worlds) == [2, 1]


def test_blocks_may_overlap(worlds: list[RealWorld]) -> None:
    """The first to begin may be the first to end: the other stays, and all is given back after it."""
    before = attributes()
    first, second = ExitStack(), ExitStack()
    first.enter_context(worlds[0].borrowed())
    second.enter_context(worlds[1].borrowed())
    first.close()
    by_requests()
    assert attributes() != before
    second.close()
    assert counts(worlds) == [0, 1]
    assert attributes() == before


def test_a_proxy_of_the_environment_is_left_aside(
    worlds: list[RealWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients meet the fake also on a machine that reaches the network by a proxy only."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "intern.example")
    monkeypatch.delenv("no_proxy", raising=False)
    with worlds[0].borrowed():
        assert [ask() for ask in ASKS] == [200, 200, 200]
    assert os.environ["NO_PROXY"] == "intern.example"
    assert "no_proxy" not in os.environ


def test_all_is_given_back_when_the_body_raises(
    worlds: list[RealWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries and environment are as they were, whatever ended the block."""
    for name in ("OPENAI_API_KEY", "LITELLM_LOCAL_MODEL_COST_MAP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "mine")
    before = attributes()
    with pytest.raises(KeyboardInterrupt), worlds[0].borrowed():
        _look_and_stop()
    assert attributes() == before
    assert not {"OPENAI_API_KEY", "LITELLM_LOCAL_MODEL_COST_MAP"} & {*os.environ}
    assert os.environ["ANTHROPIC_API_KEY"] == "mine"


def _look_and_stop() -> None:
    assert os.environ["OPENAI_API_KEY"]
    # Or litellm would ask a host that is no provider's when it is imported.
    assert os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    assert os.environ["ANTHROPIC_API_KEY"] == "mine"
    raise KeyboardInterrupt


def test_a_library_imported_later_meets_the_fake_and_none_is_imported_for_it() -> None:
    """Installing imports no HTTP library; one imported inside the block is met, and left as it was."""
    program = """
import sys
from wavetank.scenario import Scenario
from wavetank.tank.real_world import RealWorld
world = RealWorld(Scenario(), seed=0)
with world.borrowed():
    libraries = {"httpcore", "httpcore2", "httpx", "httpx2", "aiohttp", "urllib3", "requests"}
    assert not libraries & {*sys.modules}
    import requests
    question = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    url = "https://api.openai.com/v1/chat/completions"
    print(requests.post(url, json=question, headers={"authorization": "Bearer k"}).status_code)
import urllib3
print(urllib3.connection.HTTPConnection.connect.__module__)
world.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=600)
    assert done.stderr == ""
    assert done.stdout.split() == ["200", "urllib3.connection"]


def test_this_machine_is_not_touched_in_real_time(worlds: list[RealWorld]) -> None:
    """A connection to loopback is the client's own business; here nobody listens."""
    with worlds[0].borrowed(), pytest.raises(requests.ConnectionError, match="refused"):
        requests.get("http://127.0.0.1:9/", timeout=5)
    assert counts(worlds) == [0, 0]


def test_a_variable_that_a_run_deletes_is_set_in_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs of a search find the same keys, and what was set before the search is as it was."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found: list[str | None] = []

    async def main(_: wavetank.Tank) -> None:
        found.append(os.environ.pop("OPENAI_API_KEY", None))

    wavetank.search(main, schedules=3, policy="random").check()
    assert len(found) == 3
    assert found[0]
    assert len(set(found)) == 1
    assert "OPENAI_API_KEY" not in os.environ


# -- a request that blocks a loop ------------------------------------------------------------------


async def block_beside_a_task(steps: int) -> None:
    """A request blocks the loop of a task that is so many steps into a request of its own."""
    async with httpx.AsyncClient(headers=BEARER) as client, anyio.create_task_group() as group:
        group.start_soon(lambda: client.post(CHAT, json=QUESTION))
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        assert by_httpx() == 200


async def block_beside_a_thread(steps: int) -> None:
    """The same, beside a request of a thread."""
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, by_httpx)
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        assert by_httpx() == 200


@pytest.mark.parametrize("where", ["asyncio", "trio", "a thread"])
@pytest.mark.parametrize("block", [block_beside_a_task, block_beside_a_thread])
def test_a_request_that_blocks_a_loop_is_answered(where: str, block: Callable[[int], Any]) -> None:
    """At once, wherever in the steps of the loop the answer to another request is due at that instant."""

    def in_a_thread(steps: int) -> None:
        thread = threading.Thread(target=lambda: asyncio.run(block(steps)))
        thread.start()
        thread.join()

    def program(steps: int) -> Callable[[Tank], Any]:
        return lambda _: in_a_thread(steps) if where == "a thread" else block(steps)

    backend = "trio" if where == "trio" else "asyncio"
    for steps in range(9):
        run = wavetank.simulate(program(steps), Scenario(), backend=backend, checks=())
        assert (steps, run.error, run.virtual_seconds) == (steps, None, 0)
        assert [event.status for event in run.events if event.kind == "delivered"] == [200, 200]
