"""A token bucket ahead: requests are paced below the known limit, and a refused one pays for its retry."""

from __future__ import annotations

from itertools import count
from typing import final

import anyio

from wavetank import ProviderError, Tank


@final
class Bucket:
    """Holds up to `size` tokens and gains `rate` of them in a second."""

    def __init__(self, *, rate: float, size: float) -> None:
        self.rate = rate
        self.size = size
        self.tokens = size
        self.filled_at = anyio.current_time()

    async def take(self) -> None:
        """Take a token, at once if there is one; else it is owed, and the caller waits until it is paid."""
        now = anyio.current_time()
        self.tokens = min(self.size, self.tokens + (now - self.filled_at) * self.rate)
        self.filled_at = now
        self.tokens -= 1
        # A cancelled caller leaves its token unused, which errs on the slow side.
        await anyio.sleep(max(0.0, -self.tokens / self.rate))


async def main(tank: Tank) -> None:
    """Forty tasks share a bucket of eight requests a second."""
    bucket = Bucket(rate=8, size=4)

    async def one(item: str) -> None:
        for attempt in count():
            await bucket.take()
            try:
                answer = await tank.fake_llm.call(f"Do {item}.", item=item)
            except ProviderError as error:
                await anyio.sleep(error.retry_after or min(30.0, 0.5 * 2**attempt))
            else:
                tank.ledger.complete(item, answer.text)
                break

    async with anyio.create_task_group() as group:
        for item in [f"item-{number}" for number in range(40)]:
            tank.ledger.submit(item)
            group.start_soon(one, item)
