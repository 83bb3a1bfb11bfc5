"""SDK retries only: the client of anthropic streams, with the retries it has by default."""

from __future__ import annotations

import anthropic
import anyio
import httpx2

from wavetank import Tank

BROKEN = (anthropic.APIError, httpx2.TransportError, ValueError, RuntimeError, AssertionError)
"""What the client raises for refusals, for streams that break, and for those it cannot read or add up."""


async def main(tank: Tank) -> None:
    """Twenty-eight items by ten workers; what the client gives up on is reported."""
    items = iter([f"item-{number}" for number in range(28)])

    async with anthropic.AsyncAnthropic() as client, anyio.create_task_group() as group:

        async def ask(item: str) -> str:
            async with client.messages.stream(
                model="claude",
                max_tokens=50,
                messages=[{"role": "user", "content": f"Do {item}."}],
                extra_headers={"x-wavetank-item": item},
            ) as events:
                message = await events.get_final_message()
            if message.stop_reason is None:
                raise ValueError("the stream ended before the answer did")
            return "".join(block.text for block in message.content if block.type == "text")

        async def work() -> None:
            for item in items:
                tank.ledger.submit(item)
                try:
                    tank.ledger.complete(item, await ask(item))
                except BROKEN as error:
                    tank.ledger.fail(item, error)

        for _ in range(10):
            group.start_soon(work)
