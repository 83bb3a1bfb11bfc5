"""What a journal and a CSV sink cost per item, beside the same run without them."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.lowlevel

from wavetank.processor import ItemResult, Limits, LLMWorkItem, ParallelBatchProcessor
from wavetank.processor.journal import Journal, fingerprint
from wavetank.processor.sinks import CsvSink

ITEMS: Final = 5000
GOAL_US: Final = 150.0


async def answer(prompt: str) -> str:
    """A provider that answers at once."""
    await anyio.lowlevel.checkpoint()
    return prompt.upper()


async def run(folder: Path, *, kept: bool) -> float:
    """Process the items; return microseconds of CPU time for each."""
    items: list[LLMWorkItem[Any]] = [LLMWorkItem(f"row-{n}", f"Question {n}") for n in range(ITEMS)]
    options: Any = {"workers": 50, "limits": Limits(requests_per_minute=6e9, burst=1e6)}
    with Journal(folder / "run.db") as journal, CsvSink(folder / "out.csv") as output:
        if kept:
            journal.register((item.id, fingerprint(item.prompt)) for item in items)
            options |= {"store": journal, "sinks": (output,)}
        async with ParallelBatchProcessor(answer, **options) as processor:
            start = time.process_time()
            count = 0
            async for result in processor.process(items):
                count += result.error is None
            assert count == ITEMS
            return (time.process_time() - start) / ITEMS * 1e6


async def transactions(folder: Path) -> list[float]:
    """Microseconds of wall time for each pair of transactions: a request leaves, an outcome is kept."""
    times = []
    with Journal(folder / "pairs.db") as journal:
        journal.register((f"row-{n}", fingerprint(str(n))) for n in range(ITEMS))
        for number in range(ITEMS):
            item = LLMWorkItem(f"row-{number}", str(number))
            start = time.perf_counter()
            await journal.started(item, 1)
            await journal.settled(item, ItemResult(item.id, "w" * 200))
            times.append((time.perf_counter() - start) * 1e6)
    return times


def main() -> None:
    """Print the table."""
    for backend in ("asyncio", "trio"):
        with tempfile.TemporaryDirectory() as bare, tempfile.TemporaryDirectory() as kept:

            async def both(without: Path, with_it: Path) -> tuple[float, float]:
                return await run(without, kept=False), await run(with_it, kept=True)

            without, with_it = anyio.run(both, Path(bare), Path(kept), backend=backend)
            held = "ok" if with_it - without <= GOAL_US else "over"
            print(
                f"{backend:<8} {without:6.1f} us an item, {with_it:6.1f} with journal and sink: "
                f"{with_it - without:6.1f} more, goal {GOAL_US:g}: {held}"
            )
    with tempfile.TemporaryDirectory() as folder:
        times = anyio.run(transactions, Path(folder))
        print(
            f"two transactions: median {statistics.median(times):.1f} us, "
            f"mean {statistics.fmean(times):.1f} us, worst {max(times) / 1000:.1f} ms of wall time"
        )


if __name__ == "__main__":
    main()
