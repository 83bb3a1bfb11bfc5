"""Gives up loudly: two attempts for each item, and an item without an answer is reported as failed."""

from __future__ import annotations

import anyio

from wavetank import ProviderError, Tank

ATTEMPTS = 2


async def main(tank: Tank) -> None:
    """Forty items, all at once."""

    async def one(item: str) -> None:
        for attempt in range(ATTEMPTS):
            try:
                answer = await tank.fake_llm.call(f"Do {item}.", item=item)
            except ProviderError as error:
                last = error
                if attempt < ATTEMPTS - 1:
                    await anyio.sleep(error.retry_after or 1)
            else:
                return tank.ledger.complete(item, answer.text)
        return tank.ledger.fail(item, last)

    async with anyio.create_task_group() as group:
        for item in [f"item-{number}" for number in range(40)]:
            tank.ledger.submit(item)
            group.start_soon(one, item)
