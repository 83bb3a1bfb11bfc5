"""CPU time of one SDK call: with the SDK's own stand-in, through our transport, and installed.

Prints one JSON object: microseconds per call for each way. It is that of the fastest round, since
other work on the machine only adds. All ways run in one simulated world, in turns, and the client
gets the same status, headers and body in each.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

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
