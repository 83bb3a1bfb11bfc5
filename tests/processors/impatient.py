"""Impatient: each request has a timeout of its own, and an answer that comes after it is wasted."""

from __future__ import annotations

from itertools import count

import anyio

from wavetank import ProviderError, Tank

TIMEOUT = 1.0


async def main(tank: Tank) -> None:
    """Thirty items, eight of them under way at any instant; each timeout is longer than the one before."""
    permits = anyio.Semaphore(8)
    tank.watch("permits", lambda: permits.value)

    async def one(item: str) -> None:
        async with permits:
            for attempt in count(1):
                try:
                    with anyio.fail_after(TIMEOUT * attempt):
                        answer = await tank.fake_llm.call(f"Do {item}.", item=item)
                except TimeoutError:
                    continue
                except ProviderError as error:
                    await anyio.sleep(error.retry_after or min(30.0, 0.5 * 2**attempt))
                else:
                    tank.ledger.complete(item, answer.text)
                    break

    async with anyio.create_task_group() as group:
        for item in [f"item-{number}" for number in range(30)]:
            tank.ledger.submit(item)
            group.start_soon(one, item)
