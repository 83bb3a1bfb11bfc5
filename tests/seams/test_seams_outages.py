"""What the SDKs see of an outage: connections that are refused, and requests that get no answer."""

from __future__ import annotations

from functools import partial
from typing import Any

import anthropic
import anyio
import anyio.to_thread
import httpx2
import openai
import pytest

import wavetank
from wavetank import Run, Tank
from wavetank.scenario import Scenario, scenario_from_dict
from wavetank.seams import loopback
from wavetank.tank.server.served_run import RunSettings
from wavetank.tank.server.served_world import Serving

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
of_each = pytest.mark.parametrize("vendor", ["openai", "anthropic"])

Seen = list[tuple[float, str]]


def outage(kind: str, **fields: Any) -> Scenario:
    """Answers take no time, and for half a minute from 10 s on there are none."""
    fault = {"kind": kind, "at": "10s", "lasts": "30s", **fields}
    return scenario_from_dict({"fault": [fault]}, name="outage", source="outage")


async def say(client: Any) -> str:
    """One request, by either SDK; the text of the answer."""
    messages: Any = [{"role": "user", "content": "hi"}]
    if isinstance(client, openai.AsyncOpenAI):
        answer = await client.chat.completions.create(model="gpt-5", messages=messages)
        return answer.choices[0].message.content or ""
    said = await client.messages.create(model="claude-sonnet-5-5", max_tokens=50, messages=messages)
    return str(said.content[0].text)


def polled(scenario: Scenario, vendor: str, backend: str, *, timeout: float = 5) -> Run[Seen]:
    """What a client gets that keeps its connection open and asks again and again, without retries."""

    async def main(tank: Tank) -> Seen:
        kind: Any = openai.AsyncOpenAI if vendor == "openai" else anthropic.AsyncAnthropic
        seen: Seen = []
        async with kind(max_retries=0, timeout=timeout) as client:
            for second in (8, 10, 20, 30, 40, 50):
                await anyio.sleep(second - tank.now())
                try:
                    await say(client)
                except Exception as error:
                    cause = error.__cause__
                    seen.append((tank.now(), f"{type(error).__name__}({type(cause).__name__})"))
                else:
                    seen.append((tank.now(), "answered"))
        return seen

    return wavetank.simulate(main, scenario, backend=backend, checks="default,exercised")


@of_each
@on_both
def test_an_sdk_meets_an_outage_of_connections(vendor: str, backend: str) -> None:
    """The connection it has kept breaks, then it cannot make another; after half a minute it can."""
    run = polled(outage("connection-refused"), vendor, backend)
    run.check()
    assert run.value == [
        (8, "answered"),
        (10, "APIConnectionError(ReadError)"),
        (20, "APIConnectionError(ConnectError)"),
        (30, "APIConnectionError(ConnectError)"),
        (40, "answered"),
        (50, "answered"),
    ]
    log = run.events
    broken = [(event.request, event.reason, event.status) for event in log.of("left") if event.request]
    assert broken == [(2, "connection-refused", None)]
    assert [event.request for event in log.of("answered")] == [1, 3, 4]


@of_each
@on_both
def test_an_sdk_meets_a_silent_provider(vendor: str, backend: str) -> None:
    """Only its own timeout ends a request that arrives in the outage."""
    run = polled(outage("no-answer"), vendor, backend)
    run.check()
    assert run.value == [
        (8, "answered"),
        *((second + 5, "APITimeoutError(ReadTimeout)") for second in (10, 20, 30)),
        (40, "answered"),
        (50, "answered"),
    ]


@on_both
def test_an_outage_may_come_again(backend: str) -> None:
    """Two short ones; the same run gives the same log."""
    scenario = outage("no-answer", lasts="5s", every="20s", times=2)
    run, again = (polled(scenario, "openai", backend) for _ in range(2))
    assert [what for _, what in run.value or ()] == [
        "answered",
        "APITimeoutError(ReadTimeout)",
        "answered",
        "APITimeoutError(ReadTimeout)",
        "answered",
        "answered",
    ]
    assert run.events.to_ndjson() == again.events.to_ndjson()


@on_both
def test_retries_of_an_sdk_outlast_a_short_outage(backend: str) -> None:
    """The retries that it makes by itself."""

    async def main(_: Tank) -> str:
        async with openai.AsyncOpenAI(max_retries=5) as client:
            await anyio.sleep(10)
            return await say(client)

    run = wavetank.simulate(main, outage("connection-refused", lasts="2s"), backend=backend)
    run.check()
    assert run.value
    assert len(run.events.of("left")) > 1


@on_both
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
def test_a_request_with_a_tool_breaks_in_an_outage_too(stream: bool, backend: str) -> None:
    """Whatever is asked for, the connection that was kept breaks without a byte."""
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    body = {
        "model": "m",
        "stream": stream,
        "messages": [{"role": "user", "content": "hi"}],
        "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
    }

    async def main(_: Tank) -> None:
        url = "https://api.openai.com/v1/"
        async with httpx2.AsyncClient(headers={"authorization": "Bearer k"}, base_url=url) as client:
            await anyio.sleep(8)
            await client.get("models")
            await anyio.sleep(2)
            with pytest.raises(httpx2.ReadError):
                await client.post("chat/completions", json=body)

    wavetank.simulate(main, outage("connection-refused"), backend=backend).check()


@on_both
def test_a_direct_call_meets_an_outage(backend: str) -> None:
    """It raises as for any connection that is refused."""

    async def main(tank: Tank) -> None:
        await anyio.sleep(10)
        with pytest.raises(wavetank.ConnectionLost):
            await tank.fake_llm.call("hi")
        await anyio.sleep(30)
        await tank.fake_llm.call("hi")

    wavetank.simulate(main, outage("connection-refused"), backend=backend).check()


@on_both
def test_a_client_without_a_timeout_hangs_and_the_report_says_why(backend: str) -> None:
    """Nothing else can happen any more: a deadlock, held by the scenario's fault."""

    async def main(tank: Tank) -> None:
        await tank.fake_llm.call("hi", item="a")

    run = wavetank.simulate(main, outage("no-answer", at="0s"), backend=backend)
    assert run.kind == "deadlock"
    assert "request 1 (item 'a') is held by the scenario's fault 1 (no-answer)" in run.report()


@on_both
def test_a_client_may_poll_through_an_outage(backend: str) -> None:
    """However often it asks while nothing answers: that is no livelock."""

    async def main(tank: Tank) -> int:
        tank.ledger.submit("a")
        for attempt in range(100_000):
            try:
                answer = await tank.fake_llm.call("hi", item="a")
            except wavetank.ConnectionLost:
                await anyio.sleep(0.5)
            else:
                tank.ledger.complete("a", answer.text)
                return attempt
        return -1

    run = wavetank.simulate(main, outage("connection-refused", at="0s", lasts="20m"), backend=backend)
    run.check()
    assert run.value == 20 * 60 * 2


def test_a_server_breaks_the_requests_to_one_host() -> None:
    """Its port stays open: the host is known by the request, whose connection is reset."""

    def ask_both(port: int) -> list[str]:
        headers = {"authorization": "Bearer k", "anthropic-version": "2023-06-01"}
        seen = []
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
            for vendor in ("openai", "anthropic", "openai"):
                try:
                    seen.append(str(client.get(f"/{vendor}/v1/models").status_code))
                except httpx2.TransportError as error:
                    seen.append(type(error).__name__)
        return seen

    async def main() -> list[str]:
        refusing = outage("connection-refused", at="0s", match={"host": "*.openai.com"})
        with Serving(RunSettings(scenario=refusing)) as serving:
            clients = loopback.Clients(lambda: serving.run)
            async with anyio.create_task_group() as group:
                ports: list[int] = []
                listening = anyio.Event()

                def started(port: int) -> None:
                    ports.append(port)
                    listening.set()

                group.start_soon(partial(loopback.serve, clients, host="127.0.0.1", port=0, started=started))
                await listening.wait()
                seen = await anyio.to_thread.run_sync(ask_both, ports[0])
                group.cancel_scope.cancel()
        return seen

    assert anyio.run(main) == ["ReadError", "200", "ReadError"]
