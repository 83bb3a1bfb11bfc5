"""Transport objects for `httpx` and `httpx2`: they stream and honour the client's timeouts."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import httpx
import httpx2
import openai
import pytest

import wavetank
from wavetank.scenario import Scenario, scenario_from_dict
from wavetank.tank.hosted_world import Hosted

BOTH = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
URL = "https://api.openai.com/v1/chat/completions"
HEADERS = {"authorization": "Bearer k"}


def scripted(**tables: Any) -> Scenario:
    return scenario_from_dict(tables, name="scripted", source="test")


def chat(*, stream: bool = False) -> dict[str, object]:
    return {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hi"}]}


def made(tank: wavetank.Tank, library: ModuleType) -> Any:
    return tank.fake_llm.httpx_transport() if library is httpx else tank.fake_llm.httpx2_transport()


SLOW = scripted(latency={"first_token": "1s", "tokens_per_second": 2})


@BOTH
@BACKENDS
def test_chunks_arrive_as_they_are_sent(library: ModuleType, backend: str) -> None:
    """A streamed answer comes chunk by chunk in virtual time, and its end marks it delivered."""

    async def main(tank: wavetank.Tank) -> list[float]:
        async with library.AsyncClient(transport=made(tank, library)) as client:
            times = []
            async with client.stream("POST", URL, json=chat(stream=True), headers=HEADERS) as response:
                async for _ in response.aiter_bytes():
                    times.append(tank.now())
            return times

    run = wavetank.simulate(main, SLOW, backend=backend)
    run.check()
    assert run.value is not None
    assert sorted(set(run.value)) == [1 + step / 2 for step in range(8)]
    assert [event.status for event in run.events.of("delivered")] == [200]


@BOTH
@BACKENDS
def test_the_read_timeout_is_the_clients(library: ModuleType, backend: str) -> None:
    """A client that waits 0.25 s gives up after 0.25 s of virtual time, and the provider sees it leave."""

    async def main(tank: wavetank.Tank) -> float:
        async with library.AsyncClient(transport=made(tank, library), timeout=0.25) as client:
            with pytest.raises(library.ReadTimeout):
                await client.post(URL, json=chat(), headers=HEADERS)
        return tank.now()

    run = wavetank.simulate(main, SLOW, backend=backend)
    assert run.error is None
    assert run.value == 0.25
    assert len(run.events.of("left")) == 1


@BOTH
@BACKENDS
@pytest.mark.parametrize(
    ("kind", "error"), [("reset", "ReadError"), ("cut-mid-stream", "RemoteProtocolError")]
)
def test_a_broken_connection_is_the_librarys_own_error(
    library: ModuleType, backend: str, kind: str, error: str
) -> None:
    """Faults that break the connection raise what the library raises over a real network."""

    async def main(tank: wavetank.Tank) -> None:
        async with library.AsyncClient(transport=made(tank, library)) as client:
            with pytest.raises(getattr(library, error)):
                await client.post(URL, json=chat(stream=True), headers=HEADERS)

    run = wavetank.simulate(main, scripted(fault=[{"kind": kind, "at": "0s"}]), backend=backend)
    assert run.error is None
    assert not run.events.of("delivered")


@BOTH
def test_sync_clients_stream_and_time_out_too(library: ModuleType) -> None:
    """The same transport serves blocking clients: chunks at their instants, then a timeout."""
    hosted = Hosted(SLOW, seed=0, replay="")
    with hosted.phase(), library.Client(transport=made(hosted.tank, library)) as client:
        with client.stream("POST", URL, json=chat(stream=True), headers=HEADERS) as response:
            times = [hosted.tank.now() for _ in response.iter_bytes()]
        with pytest.raises(library.ReadTimeout):
            client.post(URL, json=chat(), headers=HEADERS, timeout=0.25)
        assert hosted.tank.now() == 4.75
    hosted.close()
    assert sorted(set(times)) == [1 + step / 2 for step in range(8)]


@BOTH
def test_an_unknown_host_is_refused_with_its_name(library: ModuleType) -> None:
    """A transport answers for providers only; the error names the host that was wanted."""

    async def main(tank: wavetank.Tank) -> None:
        async with library.AsyncClient(transport=made(tank, library)) as client:
            await client.get("https://example.org/")

    run = wavetank.simulate(main)
    assert isinstance(run.error, wavetank.UnknownHost)
    assert "example.org" in str(run.error)


@BACKENDS
def test_the_openai_sdk_retries_through_a_transport(backend: str) -> None:
    """An SDK with a transport of ours waits out a Retry-After and gets its answer."""
    wave = {"at": "0s", "lasts": "5s", "retry_after": "9s"}

    async def main(tank: wavetank.Tank) -> str | None:
        http = httpx2.AsyncClient(transport=tank.fake_llm.httpx2_transport())
        async with openai.AsyncOpenAI(api_key="k", http_client=http) as client:
            answer = await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hi"}]
            )
        return answer.choices[0].message.content

    run = wavetank.simulate(main, scripted(wave=[wave], latency={"refusal": "0s"}), backend=backend)
    run.check()
    assert "[wt:hi]" in (run.value or "")
    assert run.virtual_seconds == 9


def test_a_large_body_and_a_query_reach_the_provider_whole() -> None:
    """Bodies are read to their end and the query does not hide the path."""

    async def main(tank: wavetank.Tank) -> int:
        async with httpx2.AsyncClient(transport=tank.fake_llm.httpx2_transport()) as client:
            body = chat() | {"messages": [{"role": "user", "content": "x" * 1_000_000}]}
            response = await client.post(f"{URL}?api-version=1", json=body, headers=HEADERS)
        return int(response.json()["usage"]["prompt_tokens"])

    run = wavetank.simulate(main)
    run.check()
    assert run.value is not None
    assert run.value >= 250_000
