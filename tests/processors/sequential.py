"""Sequential: one item after the other, one request at a time."""

from __future__ import annotations

from itertools import count

import anyio

from wavetank import ProviderError, Tank


async def main(tank: Tank) -> None:
    """Forty items, each asked for until it is answered."""
    for item in [f"item-{number}" for number in range(40)]:
        tank.ledger.submit(item)
        for attempt in count():
            try:
                answer = await tank.fake_llm.call(f"Do {item}.", item=item)
            except ProviderError as error:
                await anyio.sleep(error.retry_after or min(30.0, 0.5 * 2**attempt))
            else:
                tank.ledger.complete(item, answer.text)
                break
