"""Programs against the fake: at the direct seam, with plain HTTP at a real URL, and with an SDK."""

from __future__ import annotations

from typing import Final

import anyio
import httpx2
import openai

from wavetank import ProviderError, Scenario, Tank
from wavetank.clock import MILLISECOND, Duration
from wavetank.processor import LLMWorkItem, ParallelBatchProcessor
from wavetank.scenario.model import DurationRange, Latency, Wave

DIRECT_ITEMS: Final = 20
DIRECT_WORKERS: Final = 10
HTTP_ITEMS: Final = 100
HTTP_WORKERS: Final = 16
BY_HAND_ITEMS: Final = 40
BY_HAND_WORKERS: Final = 10
SDK_ITEMS: Final = 20
SDK_WORKERS: Final = 5

_URL: Final = "https://api.openai.com/v1/chat/completions"
_HEADERS: Final = {"authorization": "Bearer benchmark"}

THREE_WAVES: Final = Scenario(
    name="three-waves",
    title="Three waves",
    story="A hundred requests meet three short waves.",
    latency=Latency(first_token=DurationRange(Duration(200 * MILLISECOND), Duration(800 * MILLISECOND))),
    wave=tuple(
        Wave(at=Duration(at * MILLISECOND), lasts=Duration(500 * MILLISECOND)) for at in (500, 2_000, 3_500)
    ),
)


async def direct(tank: Tank, *, workers: int = DIRECT_WORKERS, items: int = DIRECT_ITEMS) -> None:
    """The reference processor: so many workers and items."""

    async def ask(prompt: str) -> str:
        return (await tank.fake_llm.call(prompt, item=prompt)).text

    async with ParallelBatchProcessor(ask, workers=workers) as processor:
        for number in range(items):
            item = f"item-{number}"
            tank.ledger.submit(item)
            await processor.add_work(LLMWorkItem(id=item, prompt=item, data=None))
        batch = await processor.process_all()
    for result in batch.results:
        tank.ledger.complete(result.id, result.value)


async def over_http(tank: Tank) -> None:
    """Sixteen workers post a hundred chat completions with a plain client, and wait as they are told."""
    left = [f"item-{number}" for number in range(HTTP_ITEMS)]
    for item in left:
        tank.ledger.submit(item)

    async def work(client: httpx2.AsyncClient) -> None:
        while left:
            item = left.pop()
            tank.ledger.complete(item, await _answer(client, item))

    async with httpx2.AsyncClient(headers=_HEADERS) as client, anyio.create_task_group() as group:
        for _ in range(HTTP_WORKERS):
            group.start_soon(work, client)


async def _answer(client: httpx2.AsyncClient, item: str) -> str:
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": item}]}
    while True:
        response = await client.post(_URL, json=body, headers={"x-wavetank-item": item}, timeout=60)
        if response.status_code == 200:
            return str(response.json()["choices"][0]["message"]["content"])
        await anyio.sleep(float(response.headers["retry-after"]))


async def by_hand(tank: Tank) -> None:
    """Ten workers with a retry loop of their own take forty items from a stream."""
    send, receive = anyio.create_memory_object_stream[str](BY_HAND_ITEMS)
    for number in range(BY_HAND_ITEMS):
        tank.ledger.submit(f"item-{number}")
        await send.send(f"item-{number}")
    send.close()

    async def work() -> None:
        async for item in receive:
            tank.ledger.complete(item, await _called(tank, item))

    async with receive, anyio.create_task_group() as group:
        for _ in range(BY_HAND_WORKERS):
            group.start_soon(work)


async def _called(tank: Tank, item: str) -> str:
    delay = 1.0
    while True:
        try:
            return (await tank.fake_llm.call(f"do {item}", item=item)).text
        except ProviderError as refused:
            await anyio.sleep(refused.retry_after or delay)
            delay *= 2


async def with_openai(tank: Tank) -> None:
    """Five workers send twenty items with the SDK, which retries by itself, three at a time."""
    left = [f"item-{number}" for number in range(SDK_ITEMS)]
    for item in left:
        tank.ledger.submit(item)
    places = anyio.Semaphore(3)

    async def work(client: openai.AsyncOpenAI) -> None:
        while left:
            item = left.pop()
            async with places:
                answer = await client.chat.completions.create(
                    model="gpt-5",
                    messages=[{"role": "user", "content": item}],
                    extra_headers={"x-wavetank-item": item},
                )
            tank.ledger.complete(item, answer.choices[0].message.content)

    client = openai.AsyncOpenAI(api_key="sk-benchmark-0123456789", max_retries=8)
    async with client, anyio.create_task_group() as group:
        for _ in range(SDK_WORKERS):
            group.start_soon(work, client)
