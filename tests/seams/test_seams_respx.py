"""The fake behind routes of respx: on httpx, and through pytest-httpx2 on httpx2."""

from __future__ import annotations

import time
from types import ModuleType
from typing import Any

import httpx
import httpx2
import openai
import pytest
import respx

import wavetank
from wavetank import Scenario, Tank
from wavetank.scenario import scenario_from_dict
from wavetank.tank.hosted_world import Hosted

CHAT = "https://api.openai.com/v1/chat/completions"
BEARER = {"authorization": "Bearer sk-test"}
QUESTION: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}

both = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def scripted(**tables: Any) -> Scenario:
    return scenario_from_dict(tables, name="scripted", source="test")


def mocked(library: ModuleType, tank: Tank) -> Any:
    """A router whose one route ends at the fake; pytest-httpx2 brings the one for httpx2."""
    router = respx.mock(using="httpcore2" if library is httpx2 else "httpcore")
    router.route(host="api.openai.com").mock(side_effect=tank.fake_llm.respx_handler)
    return router


@both
@on_both
def test_async_clients_meet_the_fake_behind_a_route(library: ModuleType, backend: str) -> None:
    """Refusal, answer and the client's read timeout are as through a transport."""

    async def main(tank: Tank) -> Any:
        with mocked(library, tank) as router:
            async with library.AsyncClient(headers=BEARER) as client:
                refused = await client.post(CHAT, json=QUESTION)
                answer = await client.post(CHAT, json=QUESTION)
                with pytest.raises(library.ReadTimeout):
                    await client.post(CHAT, json=QUESTION, timeout=0.5)
            assert router.calls.call_count == 3
        return refused.status_code, answer.status_code, answer.text, tank.now()

    wave = {"at": "0s", "lasts": "5ms", "retry_after": "7s"}
    run = wavetank.simulate(main, scripted(wave=[wave], latency={"first_token": "2s"}), backend=backend)
    run.check()
    assert run.value is not None
    assert run.value[:2] == (429, 200)
    assert "[wt:hi]" in run.value[2]
    assert run.value[3] == 2.51
    told = [event.kind for event in run.events if event.request is not None]
    assert told == ["arrived", "refused", "delivered", "arrived", "answered", "delivered", "arrived", "left"]


@both
@on_both
def test_a_stream_comes_piece_by_piece_also_behind_a_route(library: ModuleType, backend: str) -> None:
    """Each part has its own instant; a cut is the library's own error."""

    async def main(tank: Tank) -> list[float]:
        times = []
        with mocked(library, tank):
            async with library.AsyncClient(headers=BEARER) as client:
                async with client.stream("POST", CHAT, json={**QUESTION, "stream": True}) as answer:
                    async for _ in answer.aiter_bytes():
                        times.append(tank.now())
                with pytest.raises(library.RemoteProtocolError):
                    await client.post(CHAT, json={**QUESTION, "stream": True})
        return times

    script = scripted(
        latency={"first_token": "1s", "tokens_per_second": 2},
        fault=[{"at": "1s", "kind": "cut-mid-stream"}],
    )
    run = wavetank.simulate(main, script, backend=backend)
    assert run.error is None
    assert run.value is not None
    assert sorted(set(run.value)) == [1 + step / 2 for step in range(8)]


@both
def test_sync_clients_meet_the_fake_behind_a_route(library: ModuleType) -> None:
    """A plain client waits in virtual time."""
    world = Hosted(scripted(latency={"first_token": "90s"}), seed=0, replay="pytest this")
    with world.phase(), mocked(library, world.tank), library.Client(headers=BEARER, timeout=None) as client:
        status, at = client.post(CHAT, json=QUESTION).status_code, time.monotonic()
    world.over(None)
    world.close()
    assert (status, at) == (200, 90)


def test_an_sdk_retries_through_a_route(httpx2_mock: respx.MockRouter) -> None:
    """With the fixture of pytest-httpx2 the SDK waits as it is told."""

    async def main(tank: Tank) -> float:
        httpx2_mock.route().mock(side_effect=tank.fake_llm.respx_handler)
        async with openai.AsyncOpenAI() as client:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
        return tank.now()

    wave = {"at": "0s", "lasts": "1s", "retry_after": "7s"}
    run = wavetank.simulate(main, scripted(wave=[wave]))
    run.check()
    assert run.value == 7.01


@both
def test_a_refused_connection_is_the_librarys_own_error_behind_a_route(library: ModuleType) -> None:
    """Each request of a route counts as a connection."""

    async def main(tank: Tank) -> int:
        with mocked(library, tank):
            async with library.AsyncClient(headers=BEARER) as client:
                with pytest.raises(library.ConnectError):
                    await client.post(CHAT, json=QUESTION)
                return int((await client.post(CHAT, json=QUESTION)).status_code)

    run = wavetank.simulate(main, scripted(fault=[{"kind": "connection-refused"}]))
    assert run.value == 200
