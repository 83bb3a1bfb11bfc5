"""Batches in which each id is its own prompt, in real time or on a clock that jumps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import trio
from trio.testing import MockClock

from wavetank.processor import BatchResult, LLMWorkItem, ParallelBatchProcessor

from .stepping import USUAL

Call = Callable[[str], Awaitable[Any]]


async def process(
    call: Callable[[str], Awaitable[Any]], ids: Sequence[str], **options: Any
) -> BatchResult[Any]:
    """One batch, each id its own prompt."""
    async with ParallelBatchProcessor(call, **({"limits": USUAL} | options)) as processor:
        for name in ids:
            await processor.add_work(LLMWorkItem(id=name, prompt=name))
        return await processor.process_all()


def virtually(call: Call, ids: Sequence[str], **options: Any) -> BatchResult[Any]:
    """`process` on trio, with a clock that jumps to the next timer when all tasks wait."""

    async def main() -> BatchResult[Any]:
        return await process(call, ids, **options)

    return trio.run(main, clock=MockClock(autojump_threshold=0))
