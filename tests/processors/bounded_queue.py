"""Producer and consumers: a reader fills a bounded queue, workers empty it, one writer keeps the results."""

from __future__ import annotations

from itertools import count

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream

from wavetank import ProviderError, Tank

Items = ObjectReceiveStream[str]
Results = ObjectSendStream[tuple[str, str]]


async def read(tank: Tank, queue: ObjectSendStream[str]) -> None:
    """Hand in forty items, no faster than they are taken."""
    async with queue:
        for number in range(40):
            item = f"item-{number}"
            tank.ledger.submit(item)
            await queue.send(item)


async def work(tank: Tank, items: Items, results: Results) -> None:
    """Take items until there are no more; a refused one stays in hand, so that no worker waits for room."""
    async with items, results:
        async for item in items:
            await results.send((item, await answer(tank, item)))


async def answer(tank: Tank, item: str) -> str:
    """The item's answer, however often it has to be asked for."""
    for attempt in count():
        try:
            return (await tank.fake_llm.call(f"Do {item}.", item=item)).text
        except ProviderError as error:
            await anyio.sleep(error.retry_after or min(30.0, 0.5 * 2**attempt))
    raise AssertionError("count() does not end")


async def main(tank: Tank) -> None:
    """Each end of a stream closes its own copy, so that the last one out ends the next stage."""
    send_item, items = anyio.create_memory_object_stream[str](5)
    send_result, results = anyio.create_memory_object_stream[tuple[str, str]](5)
    async with anyio.create_task_group() as group:
        group.start_soon(read, tank, send_item)
        async with items, send_result:
            for _ in range(8):
                group.start_soon(work, tank, items.clone(), send_result.clone())
        async with results:
            async for item, text in results:
                tank.ledger.complete(item, text)
