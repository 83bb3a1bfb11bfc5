"""CPU time of one SDK call: with the SDK's own stand-in, through our transport, and installed.

Prints one JSON object: microseconds per call for each way. It is that of the fastest round, since
other work on the machine only adds. All ways run in one simulated world, in turns, and the client
gets the same status, headers and body in each. One more way tells what the SDK's own network costs:
the real pool and parser of `httpcore2` over a stream that holds the bytes of one answer ready, and
gives them after one wait, as any provider would.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import httpcore2
import httpx2
import openai

import wavetank
from wavetank.scenario import Scenario

CALLS: Final = 100
MESSAGES: Final[Any] = [{"role": "user", "content": "How long is a wave?"}]


class Replay:
    """What a test writes by hand: the same answer for every request, here one of the fake's own."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._status = answer.status_code
        self._headers = [(name, value) for name, value in answer.headers.raw if name != b"content-length"]
        self._content = answer.content

    def __call__(self, _: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(self._status, headers=self._headers, content=self._content)


class Canned(httpcore2.AsyncNetworkStream):
    """The network's end of a connection that has an answer ready, whatever is asked."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Take a request and forget it."""

    async def read(self, *_: object, **__: object) -> bytes:
        """The answer, after one wait."""
        loop = asyncio.get_running_loop()
        due = loop.create_future()
        loop.call_later(1e-6, due.set_result, None)
        await due
        return self._answer

    async def aclose(self) -> None:
        """Nothing is open."""

    async def start_tls(self, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        return self

    def get_extra_info(self, info: str) -> object:
        return False if info == "is_readable" else None


class CannedNetwork(httpcore2.AsyncNetworkBackend):
    """A network in which every host gives the same answer."""

    def __init__(self, answer: httpx2.Response) -> None:
        headers = b"".join(b"%b: %b\r\n" % field for field in answer.headers.raw)
        self._answer = b"HTTP/1.1 %d OK\r\n%b\r\n%b" % (answer.status_code, headers, answer.content)

    async def connect_tcp(self, *_: object, **__: object) -> httpcore2.AsyncNetworkStream:
        return Canned(self._answer)


def canned(answer: httpx2.Response) -> httpx2.AsyncHTTPTransport:
    """The client's own transport in such a network."""
    transport = httpx2.AsyncHTTPTransport()
    transport._pool = httpcore2.AsyncConnectionPool(
        ssl_context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), network_backend=CannedNetwork(answer)
    )
    return transport


async def calls(client: openai.AsyncOpenAI) -> float:
    """Microseconds of CPU time for a call, over a round of them."""
    started = time.process_time_ns()
    for _ in range(CALLS):
        await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    return (time.process_time_ns() - started) / CALLS / 1000


async def one_answer(tank: wavetank.Tank) -> httpx2.Response:
    """The fake's answer, as it comes from the wire."""
    async with httpx2.AsyncClient(transport=tank.fake_llm.httpx2_transport()) as client:
        return await client.post(
            "https://api.openai.com/v1/chat/completions",
            headers={"authorization": "Bearer key"},
            json={"model": "gpt-4o", "messages": MESSAGES},
        )


def measured(rounds: int) -> dict[str, float]:
    """The fastest round of each way."""

    async def main(tank: wavetank.Tank) -> dict[str, list[float]]:
        async with AsyncExitStack() as stack:
            answer = await one_answer(tank)

            async def with_transport(transport: Any) -> openai.AsyncOpenAI:
                http = await stack.enter_async_context(httpx2.AsyncClient(transport=transport))
                return openai.AsyncOpenAI(http_client=http)

            ways: dict[str, Callable[[], Awaitable[openai.AsyncOpenAI]]] = {
                "MockTransport": lambda: with_transport(httpx2.MockTransport(Replay(answer))),
                "transport": lambda: with_transport(tank.fake_llm.httpx2_transport()),
                "canned network": lambda: with_transport(canned(answer)),
                "installed": lambda: stack.enter_async_context(openai.AsyncOpenAI()),
            }
            clients = {name: await make() for name, make in ways.items()}
            for client in clients.values():
                await calls(client)
            took: dict[str, list[float]] = {name: [] for name in clients}
            for _ in range(rounds):
                for name, client in clients.items():
                    took[name].append(await calls(client))
        return took

    run = wavetank.simulate(main, Scenario(), checks=())
    if run.error is not None:
        raise run.error
    assert run.value is not None
    return {name: min(each) for name, each in run.value.items()}


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]))))
