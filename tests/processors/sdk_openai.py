"""SDK retries only: the client of openai tries again by itself, and what it gives up on is reported."""

from __future__ import annotations

import anyio
import openai

from wavetank import Tank

BROKEN = (openai.APIError, ValueError, TypeError, AttributeError)
"""What the client raises for refusals, for answers that are no JSON, and for those without choices."""


async def main(tank: Tank) -> None:
    """Twenty-eight items, ten of them under way at any instant."""
    permits = anyio.CapacityLimiter(10)

    async with openai.AsyncOpenAI(max_retries=8) as client, anyio.create_task_group() as group:

        async def one(item: str) -> None:
            async with permits:
                try:
                    answer = await client.chat.completions.create(
                        model="gpt-4o",
                        messages=[{"role": "user", "content": f"Do {item}."}],
                        extra_headers={"x-wavetank-item": item},
                    )
                    text = answer.choices[0].message.content
                except BROKEN as error:
                    tank.ledger.fail(item, error)
                else:
                    tank.ledger.complete(item, text)

        for item in [f"item-{number}" for number in range(28)]:
            tank.ledger.submit(item)
            group.start_soon(one, item)
