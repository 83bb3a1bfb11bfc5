"""The provider as an ASGI application."""

from __future__ import annotations

from collections.abc import MutableMapping
from types import ModuleType
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

import wavetank
from wavetank import ConnectionLost, Scenario, Tank
from wavetank.scenario import scenario_from_dict

both = pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])

BEARER = {"authorization": "Bearer k"}
VERSIONED = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
QUESTION: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}

Message = MutableMapping[str, Any]


def scripted(**tables: Any) -> Scenario:
    return scenario_from_dict(tables, name="scripted", source="test")


class Caller:
    """A server's side of one request: what it passes in, and what comes out with its instants."""

    def __init__(self, tank: Tank, *, body: bytes, hangs_up: float | None = None) -> None:
        self.out: list[tuple[float, Message]] = []
        self._tank = tank
        self._hangs_up = hangs_up
        self._in: list[Message] = [
            {"type": "http.request", "body": body[:5], "more_body": True},
            {"type": "http.request", "body": body[5:]},
        ]

    async def receive(self) -> Message:
        if self._in:
            return self._in.pop(0)
        await (anyio.sleep_forever() if self._hangs_up is None else anyio.sleep(self._hangs_up))
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.out.append((self._tank.now(), message))

    async def call(self) -> None:
        head = [(name.encode(), value.encode()) for name, value in BEARER.items()]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": head}
        await self._tank.fake_llm.asgi_app()(scope, self.receive, self.send)


STREAM = b'{"model": "m", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'


@on_both
def test_parts_are_sent_when_they_are_due(backend: str) -> None:
    """Head and parts of a stream go out one by one, and the last one delivers the answer."""

    async def main(tank: Tank) -> list[float]:
        caller = Caller(tank, body=STREAM)
        await caller.call()
        assert caller.out[0][1]["status"] == 200
        assert [message.get("more_body") for _, message in caller.out[1:]] == [*[True] * 9, False]
        return [at for at, message in caller.out if message.get("body")]

    run = wavetank.simulate(
        main, scripted(latency={"first_token": "1s", "tokens_per_second": 2}), backend=backend
    )
    run.check()
    assert run.value is not None
    assert sorted(set(run.value)) == [1 + step / 2 for step in range(8)]
    assert [event.kind for event in run.events] == ["arrived", "answered", "delivered"]


@on_both
def test_a_client_that_hangs_up_has_left(backend: str) -> None:
    """The request leaves at the instant the server tells of it."""

    async def main(tank: Tank) -> int:
        caller = Caller(tank, body=STREAM, hangs_up=2.25)
        await caller.call()
        return len(caller.out)

    run = wavetank.simulate(
        main, scripted(latency={"first_token": "1s", "tokens_per_second": 2}), backend=backend
    )
    assert run.error is None
    assert run.value == 5
    assert [(event.kind, event.at) for event in run.events] == [("arrived", 0), ("left", 2_250_000_000)]


@on_both
@pytest.mark.parametrize("kind", ["cut-mid-stream", "reset"])
def test_a_broken_connection_raises_in_the_server(backend: str, kind: str) -> None:
    """A server that is told so by an error breaks the connection off; the response is not ended."""

    async def main(tank: Tank) -> bool:
        caller = Caller(tank, body=STREAM)
        with pytest.raises(ConnectionLost):
            await caller.call()
        return any(message.get("more_body") is False for _, message in caller.out)

    run = wavetank.simulate(main, scripted(fault=[{"at": "0s", "kind": kind}]), backend=backend)
    assert run.error is None
    assert run.value is False
    assert run.events[-1].kind == "left"


@both
@on_both
def test_a_mounted_provider_answers_in_the_dialect_of_host_or_path(library: ModuleType, backend: str) -> None:
    """Below another application, through the libraries' own ASGI transport, which buffers."""

    async def main(tank: Tank) -> list[Any]:
        site = Starlette(routes=[Mount("/", app=tank.fake_llm.asgi_app())])
        transport = library.ASGITransport(app=site)
        async with library.AsyncClient(transport=transport) as client:
            answers = [
                await client.post(url, json=QUESTION, headers={**BEARER, **VERSIONED})
                for url in ("http://site/v1/messages", "https://api.openai.com/v1/chat/completions")
            ]
            head = await client.get("http://site/nothing")
        return [*(answer.json().get("type") for answer in answers), head.status_code]

    run = wavetank.simulate(main, "calm", backend=backend)
    assert run.error is None
    assert run.value == ["message", None, 404]
    assert [event.kind for event in run.events if event.request == 1] == ["arrived", "answered", "delivered"]


@on_both
def test_lifespan_is_answered_and_other_protocols_are_refused(backend: str) -> None:
    """A server may start and stop it; a web socket is told that there is none."""

    async def main(tank: Tank) -> list[str]:
        app, sent = tank.fake_llm.asgi_app(), []
        incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

        async def receive() -> Message:
            return incoming.pop(0)

        async def send(message: Message) -> None:
            sent.append(message["type"])

        await app({"type": "lifespan"}, receive, send)
        with pytest.raises(ValueError, match="HTTP only, not websocket"):
            await app({"type": "websocket"}, receive, send)
        return sent

    run = wavetank.simulate(main, "calm", backend=backend)
    assert run.value == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
