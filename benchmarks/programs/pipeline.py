"""The program whose complete runs are counted: one producer and four consumers, twenty items.

It uses a stream, a lock and an event of anyio and knows nothing of wavetank, so that every tool
can run it.
"""

from __future__ import annotations

from typing import Final, final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

ITEMS: Final = 20
CONSUMERS: Final = 4
BUFFER: Final = 5
TICK: Final = 0.01


@final
class Pipeline:
    """What the five tasks share."""

    def __init__(self) -> None:
        self._send, receive = anyio.create_memory_object_stream[int](BUFFER)
        self._inlets = [receive.clone() for _ in range(CONSUMERS)]
        receive.close()
        self._lock = anyio.Lock()
        self._complete = anyio.Event()
        self.seen: list[int] = []

    async def produce(self) -> None:
        """Send every item."""
        async with self._send:
            for item in range(ITEMS):
                await self._send.send(item)

    async def consume(self) -> None:
        """Take items, work on each for one to three ticks, and note it."""
        async with self._inlets.pop() as inlet:
            await self._drain(inlet)

    async def _drain(self, inlet: MemoryObjectReceiveStream[int]) -> None:
        async for item in inlet:
            await anyio.sleep(TICK * (1 + item % 3))
            async with self._lock:
                self.seen.append(item)
                if len(self.seen) == ITEMS:
                    self._complete.set()

    async def complete(self) -> None:
        """Wait until every item was seen."""
        await self._complete.wait()

    @property
    def whole(self) -> bool:
        """Whether every item was seen once."""
        return sorted(self.seen) == list(range(ITEMS))


async def main() -> None:
    """One complete run."""
    pipeline = Pipeline()
    async with anyio.create_task_group() as group:
        group.start_soon(pipeline.produce)
        for _ in range(CONSUMERS):
            group.start_soon(pipeline.consume)
        await pipeline.complete()
    assert pipeline.whole, pipeline.seen
