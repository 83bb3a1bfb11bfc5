"""Threads: the blocking client of openai, one thread for each item that is under way."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.to_thread
import openai

from wavetank import Tank

BROKEN = (openai.APIError, ValueError, TypeError, AttributeError)
"""What the client raises for refusals, for answers that are no JSON, and for those without choices."""


async def main(tank: Tank) -> None:
    """Twenty-eight items in up to eight threads; what the client gives up on is reported."""
    permits = anyio.CapacityLimiter(8)

    with openai.OpenAI(max_retries=8) as client:

        def ask(item: str) -> str | None:
            answer = client.chat.completions.create(
                model="gpt-4o",
                messages=[{"role": "user", "content": f"Do {item}."}],
                extra_headers={"x-wavetank-item": item},
            )
            return answer.choices[0].message.content

        async def one(item: str) -> None:
            try:
                value = await anyio.to_thread.run_sync(partial(ask, item), limiter=permits)
            except BROKEN as error:
                tank.ledger.fail(item, error)
            else:
                tank.ledger.complete(item, value)

        async with anyio.create_task_group() as group:
            for item in [f"item-{number}" for number in range(28)]:
                tank.ledger.submit(item)
                group.start_soon(one, item)
