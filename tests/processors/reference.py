"""The processor of the package, whose gate lets a probe ahead after each pause."""

from __future__ import annotations

from wavetank import Tank
from wavetank.processor import LLMWorkItem, ParallelBatchProcessor


async def main(tank: Tank) -> None:
    """Forty items by ten workers; the results come in input order."""

    async def call(prompt: str) -> str:
        return (await tank.fake_llm.call(f"Do {prompt}.", item=prompt)).text

    async with ParallelBatchProcessor(call, workers=10) as processor:
        for item in [f"item-{number}" for number in range(40)]:
            tank.ledger.submit(item)
            await processor.add_work(LLMWorkItem(id=item, prompt=item))
        batch = await processor.process_all()
    for result in batch.results:
        if result.error is None:
            tank.ledger.complete(result.id, result.value)
        else:
            tank.ledger.fail(result.id, result.error)
