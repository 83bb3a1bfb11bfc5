"""Changes while a batch or a stream runs, and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from wavetank.processor import (
    BatchResult,
    Bounds,
    CallResult,
    Limits,
    LLMWorkItem,
    ParallelBatchProcessor,
    TokenUsage,
)

from .stepping import stepped

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
Processor = ParallelBatchProcessor[str]
Change = Callable[[Processor], Coroutine[Any, Any, Any]]


class Calls:
    """Answers after a second, and counts what is under way."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.seconds = seconds
        self.under_way = 0
        self.began = 0.0
        self.starts: list[float] = []
        self.peaks: dict[int, int] = {}

    async def __call__(self, prompt: str) -> CallResult[str]:
        now = anyio.current_time()
        self.began = self.began if self.starts else now
        self.starts.append(now - self.began)
        self.under_way += 1
        second = int(now - self.began)
        self.peaks[second] = max(self.peaks.get(second, 0), self.under_way)
        await anyio.sleep(self.seconds)
        self.under_way -= 1
        return CallResult(prompt, TokenUsage(10, 5), cost=0.5)


def batch(
    backend: str,
    calls: Calls,
    count: int,
    change: Change,
    **options: Any,
) -> BatchResult[str]:
    """A batch during which `change` runs."""
    batches: list[BatchResult[str]] = []

    async def main() -> None:
        async with Processor(calls, **options) as processor, anyio.create_task_group() as group:
            for number in range(count):
                await processor.add_work(LLMWorkItem(f"row-{number}", f"row-{number}"))
            group.start_soon(change, processor)
            batches.append(await processor.process_all())

    stepped(main, backend)
    return batches[0]


@on_both
def test_more_and_fewer_workers(backend: str) -> None:
    """Three at once, then eight, then two: from the next request on, and each item once."""

    async def change(processor: Processor) -> None:
        await anyio.sleep(2.5)
        await processor.retune(workers=8)
        await anyio.sleep(3)
        await processor.retune(workers=2)

    calls = Calls()
    found = batch(backend, calls, 60, change, workers=3)
    assert (found.succeeded, found.requests) == (60, 60)
    assert [calls.peaks[second] for second in (0, 1)] == [3, 3]
    assert [calls.peaks[second] for second in (3, 4)] == [8, 8]
    assert max(calls.peaks[second] for second in calls.peaks if second >= 7) == 2


@on_both
def test_another_rate_applies_at_once(backend: str) -> None:
    """Ten a second, then two a second, then what is learnt."""

    async def change(processor: Processor) -> None:
        await anyio.sleep(3)
        await processor.retune(requests_per_minute=120)
        await anyio.sleep(10)
        await processor.retune(requests_per_minute=float("inf"))

    calls = Calls(0.01)
    found = batch(backend, calls, 200, change, workers=10, limits=Limits(requests_per_minute=600))
    assert found.succeeded == 200
    assert 28 <= sum(start < 3 for start in calls.starts) <= 31
    assert 19 <= sum(3 <= start < 13 for start in calls.starts) <= 22
    assert found.seconds < 20


@on_both
def test_a_limit_of_one_scope(backend: str) -> None:
    """The rate of a scope that is not made yet counts as well, and others keep theirs."""

    async def change(processor: Processor) -> None:
        await processor.retune(requests_per_minute=60, scope="row-1")

    calls = Calls(0.01)
    found = batch(backend, calls, 40, change, workers=10, scope=lambda item: item.id[:5])
    # Row-1, and row-10 to row-19: eleven in ten seconds.
    assert 10 <= found.seconds < 11
    assert sum(start < 1 for start in calls.starts) >= 29


@on_both
def test_bounds_that_come_later_and_go(backend: str) -> None:
    """A time limit is set, moved and kept; a bound on requests stops the run from then on."""

    async def earlier(processor: Processor) -> None:
        await anyio.sleep(1)
        await processor.retune(bounds=Bounds(seconds=100))
        await anyio.sleep(1)
        await processor.retune(bounds=Bounds(seconds=4.5))

    found = batch(backend, Calls(), 100, earlier, workers=2)
    assert (found.seconds, found.stopped, found.succeeded) == (4.5, "its time was up", 8)

    async def never(processor: Processor) -> None:
        await anyio.sleep(1)
        await processor.retune(bounds=Bounds())

    found = batch(backend, Calls(), 20, never, workers=2, bounds=Bounds(seconds=3))
    assert (found.succeeded, found.stopped) == (20, None)

    async def requests(processor: Processor) -> None:
        await anyio.sleep(1.5)
        await processor.retune(bounds=Bounds(requests=6))

    found = batch(backend, Calls(), 20, requests, workers=2)
    assert (found.requests, found.stopped) == (6, "its 6 requests were sent")


@on_both
def test_a_time_limit_cuts_a_request_that_was_sent_before(backend: str) -> None:
    """Also one that was under way when the limit was set."""

    async def change(processor: Processor) -> None:
        await anyio.sleep(1)
        await processor.retune(bounds=Bounds(seconds=2))

    found = batch(backend, Calls(1000), 5, change, workers=2)
    assert (found.seconds, found.unfinished) == (2, 5)


@on_both
def test_an_outage_may_last_longer_after_all(backend: str) -> None:
    """`max_outage_seconds` of the running batch is the new one."""

    async def refuse(prompt: str) -> str:
        raise ConnectionRefusedError(111, prompt)

    async def main() -> None:
        async with ParallelBatchProcessor(refuse) as processor, anyio.create_task_group() as group:
            for number in range(20):
                await processor.add_work(LLMWorkItem(f"row-{number}", "a"))
            group.start_soon(change, processor)
            found.append(await processor.process_all())

    async def change(processor: Processor) -> None:
        await anyio.sleep(300)
        await processor.retune(max_outage_seconds=1000)

    found: list[BatchResult[str]] = []
    stepped(main, backend)
    assert 1000 <= found[0].seconds < 1061


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"requests_per_minute": -5}, "requests_per_minute must be above 0, not -5"),
        ({"requests_per_minute": 0, "workers": 50}, "requests_per_minute must be above 0, not 0"),
        ({"max_outage_seconds": -1}, "max_outage_seconds must be at least 0, not -1"),
    ],
)
def test_a_wrong_number_changes_nothing(wrong: dict[str, Any], said: str) -> None:
    """The error names it, and the run goes on as before."""

    async def change(processor: Processor) -> None:
        await anyio.sleep(1.5)
        with pytest.raises(ValueError, match=said):
            await processor.retune(**wrong)
        assert processor.progress.workers == 3

    assert batch("trio", Calls(), 9, change, workers=3).seconds == pytest.approx(3, abs=0.1)


@on_both
def test_the_progress_has_the_running_cost(backend: str) -> None:
    """Before, during and after a batch."""
    lines: list[str] = []

    async def change(processor: Processor) -> None:
        await anyio.sleep(1.5)
        lines.append(str(processor.progress))
        progress.append(processor.progress)

    progress: list[Any] = []
    batch(backend, Calls(), 9, change, workers=4)
    assert lines == [
        "4 succeeded, 0 failed; 4 of 4 requests under way; 8 sent, 0 refused; tokens: 40 in, 20 out; cost: 2"
    ]
    assert (progress[0].seconds, progress[0].cost, progress[0].usage) == (1.5, 2.0, TokenUsage(40, 20))
    assert str(ParallelBatchProcessor(Calls()).progress).startswith("0 succeeded, 0 failed; 0 of 10 requests")


@on_both
def test_a_stream_is_retuned_as_well(backend: str) -> None:
    """More workers take more items from the iterable."""
    calls = Calls()

    async def main() -> None:
        async with ParallelBatchProcessor(calls, workers=1) as processor:
            items = (LLMWorkItem(f"row-{number}", "a") for number in range(20))
            seen = 0
            async for _ in processor.process(items):
                seen += 1
                if seen == 2:
                    await processor.retune(workers=6)
        assert seen == 20

    stepped(main, backend)
    assert max(calls.peaks.values()) == 6
    assert calls.starts[-1] <= 6
