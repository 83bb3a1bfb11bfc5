"""Independent retries: each worker waits for its own item, with jitter, and knows of no other worker."""

from __future__ import annotations

import random

import anyio

from wavetank import ConnectionLost, Overloaded, ProviderError, RateLimited, ServerError, Tank

WORKERS = 10
ATTEMPTS = 12
TRANSIENT = (RateLimited, Overloaded, ServerError, ConnectionLost)


async def main(tank: Tank) -> None:
    """Forty items by ten workers."""
    items = iter([f"item-{number}" for number in range(40)])

    async def work() -> None:
        for item in items:
            tank.ledger.submit(item)
            try:
                tank.ledger.complete(item, await persistently(tank, item))
            except ProviderError as error:
                tank.ledger.fail(item, error)

    async with anyio.create_task_group() as group:
        for _ in range(WORKERS):
            group.start_soon(work)


async def persistently(tank: Tank, item: str) -> str:
    """The item's answer, or the last error."""
    for attempt in range(1, ATTEMPTS):
        try:
            return (await tank.fake_llm.call(f"Do {item}.", item=item)).text
        except TRANSIENT as error:
            backoff = min(30.0, 0.5 * 2**attempt)
            # Jitter goes on top of a stated wait: less than was asked for is refused again.
            await anyio.sleep((error.retry_after or backoff / 2) + random.uniform(0, backoff / 2))
    return (await tank.fake_llm.call(f"Do {item}.", item=item)).text
