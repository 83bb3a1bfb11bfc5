"""Explored runs of real clients, and the same clients with answers that are ready: milliseconds of CPU time.

Called as `python -m benchmarks.programs.client_runs NAME RUNS [--alone]`; it prints a run's CPU time and how
many requests a run makes. It uses public names only, so that the sources of an earlier commit can run it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import anthropic
import anyio
import httpx2
import openai

import wavetank
from wavetank import Tank

from .batches import HTTP_ITEMS, HTTP_WORKERS, THREE_WAVES

URL: Final = "https://api.openai.com/v1/chat/completions"
CALLS: Final = 500

Ask = Callable[[Any, str], Awaitable[object]]
Make = Callable[..., Any]


def chat(item: str) -> Any:
    """The messages of a conversation about an item."""
    return [{"role": "user", "content": item}]


async def _posted(client: httpx2.AsyncClient, item: str) -> None:
    body = {"model": "gpt-5", "messages": chat(item)}
    while True:
        response = await client.post(URL, json=body, headers={"authorization": "Bearer key"}, timeout=60)
        if response.status_code == 200:
            return
        await anyio.sleep(float(response.headers["retry-after"]))


async def _completed(client: openai.AsyncOpenAI, item: str) -> None:
    await client.chat.completions.create(model="gpt-5", messages=chat(item))


async def _messaged(client: anthropic.AsyncAnthropic, item: str) -> None:
    await client.messages.create(model="claude", max_tokens=99, messages=chat(item))


def _sdk(kind: Any) -> Make:
    def make(transport: Any = None) -> Any:
        http = None if transport is None else httpx2.AsyncClient(transport=transport)
        return kind(api_key="key", max_retries=9, http_client=http)

    return make


def _plain(transport: Any = None) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=transport)


CLIENTS: Final[dict[str, tuple[Make, Ask]]] = {
    "httpx2": (_plain, _posted),
    "openai": (_sdk(openai.AsyncOpenAI), _completed),
    "anthropic": (_sdk(anthropic.AsyncAnthropic), _messaged),
}


async def batch(make: Callable[[], Any], ask: Ask, items: int, workers: int) -> None:
    """So many workers ask about so many items with one client."""
    left = [f"item-{number}" for number in range(items)]

    async def work(client: Any) -> None:
        while left:
            await ask(client, left.pop())

    async with make() as client, anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(work, client)


def explored(name: str, runs: int) -> tuple[float, int]:
    """CPU seconds of a run of a search, and the requests of a run."""
    make, ask = CLIENTS[name]

    async def main(_: Tank) -> None:
        await batch(make, ask, HTTP_ITEMS, HTTP_WORKERS)

    first = wavetank.simulate(main, THREE_WAVES, checks=())
    first.check()
    before = time.process_time()
    result = wavetank.search(main, THREE_WAVES, schedules=runs, checks=())
    assert result.failure is None, result.failure
    return (time.process_time() - before) / runs, len(first.events.of("arrived"))


def alone(name: str, runs: int) -> tuple[float, int]:
    """The same for the client alone, outside of a run: without a pool, a network or a provider.

    Every request is answered at once, with an answer that the fake once gave.
    """
    make, ask = CLIENTS[name]
    kept: list[httpx2.Response] = []

    async def keep(response: httpx2.Response) -> None:
        await response.aread()
        kept.append(response)

    async def main(_: Tank) -> None:
        async with make() as client:
            getattr(client, "_client", client).event_hooks = {"response": [keep]}
            await ask(client, "item")

    wavetank.simulate(main, "calm", checks=()).check()
    status, headers, body = kept[0].status_code, kept[0].headers.raw, kept[0].content
    replay = httpx2.MockTransport(lambda _: httpx2.Response(status, headers=headers, content=body))
    _, requests = explored(name, 1)
    before = time.process_time()
    for _ in range(runs):
        anyio.run(batch, lambda: make(replay), ask, requests, HTTP_WORKERS)
    return (time.process_time() - before) / runs, requests


def in_a_row(name: str, runs: int) -> tuple[float, int]:
    """CPU seconds of a run with so many calls in a row, at the direct seam or through a transport object."""

    async def main(tank: Tank) -> None:
        if name == "direct":
            for number in range(CALLS):
                await tank.fake_llm.call(f"item-{number}", item=str(number))
        else:
            transport = tank.fake_llm.httpx2_transport()
            await batch(lambda: _plain(transport), _posted, CALLS, 1)

    before = time.process_time()
    for _ in range(runs):
        wavetank.simulate(main, "calm", checks=()).check()
    return (time.process_time() - before) / runs, CALLS


def main() -> None:
    """Print one line of JSON."""
    name, runs = sys.argv[1], int(sys.argv[2])
    spent = alone if "--alone" in sys.argv else explored if name in CLIENTS else in_a_row
    spent(name, 1)
    seconds, requests = spent(name, runs)
    print(json.dumps({"ms": seconds * 1000, "requests": requests}))


if __name__ == "__main__":
    main()
