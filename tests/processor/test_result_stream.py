"""Streaming: results as they come, bounded memory, early ends, on both backends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wavetank.processor import ItemResult, LLMCallStrategy, LLMWorkItem, ParallelBatchProcessor

pytestmark = pytest.mark.anyio


async def echo(prompt: str) -> str:
    """A provider that never refuses."""
    await anyio.lowlevel.checkpoint()
    return f"echo {prompt}"


def rows(count: int, taken: list[int] | None = None) -> Iterator[LLMWorkItem[None]]:
    """Items `0`, `1`, …; what is taken of them is noted."""
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield LLMWorkItem(id=str(number), prompt=str(number))


async def rows_later(count: int) -> AsyncIterator[LLMWorkItem[None]]:
    """The same, each after a step of the loop."""
    for item in rows(count):
        await anyio.lowlevel.checkpoint()
        yield item


async def gathered(processor: ParallelBatchProcessor[Any], items: Any) -> list[ItemResult[Any]]:
    """All results, in the order in which they came."""
    return [result async for result in processor.process(items)]


@pytest.mark.parametrize("source", [rows, rows_later], ids=["sync", "async"])
@pytest.mark.parametrize("count", [0, 1, 7, 250])
async def test_each_item_of_an_iterable_gives_one_result(source: Any, count: int) -> None:
    """None is lost and none comes twice, from sync and async iterables of any length."""
    async with ParallelBatchProcessor(echo, workers=4, batch_size=10) as processor:
        results = await gathered(processor, source(count))
    assert sorted(int(result.id) for result in results) == list(range(count))
    assert all(result.value == f"echo {result.id}" for result in results)


async def test_results_come_as_they_are_completed() -> None:
    """A slow first item holds back no other."""

    others = anyio.Event()

    async def call(prompt: str) -> str:
        if prompt == "0":
            await others.wait()
        return prompt

    seen = []
    async with ParallelBatchProcessor(call, workers=3) as processor:
        async for result in processor.process(rows(6)):
            seen.append(result.id)
            if len(seen) == 5:
                others.set()
    assert seen[-1] == "0"


async def test_results_come_in_the_order_of_the_input_if_asked_for() -> None:
    """A slow first item is waited for, and the others follow it in order."""

    async def call(prompt: str) -> str:
        await anyio.sleep(0.02 if prompt in "05" else 0)
        return prompt

    async with ParallelBatchProcessor(call, workers=3, order="input", batch_size=4) as processor:
        results = await gathered(processor, rows(9))
    assert [result.id for result in results] == list("012345678")


async def test_no_more_items_are_taken_than_batch_size_ahead_of_the_consumer() -> None:
    """However slow the consumer, what is taken and not fetched stays within the bound."""
    taken: list[int] = []
    async with ParallelBatchProcessor(echo, workers=3, batch_size=5) as processor:
        fetched = 0
        async for _ in processor.process(rows(40, taken)):
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            fetched += 1
            assert len(taken) <= fetched + 5
    assert len(taken) == 40


async def test_leaving_the_loop_early_stops_the_run() -> None:
    """After `break` nothing more is taken, every call that began has ended, and `async with` ends at once."""
    taken: list[int] = []
    begun, ended = [], []

    async def call(prompt: str) -> str:
        begun.append(prompt)
        try:
            await anyio.sleep(0 if prompt == "0" else 1000)
        finally:
            ended.append(prompt)
        return prompt

    with anyio.fail_after(600):
        async with (
            ParallelBatchProcessor(call, workers=3) as processor,
            aclosing(processor.process(rows(1000, taken))) as results,
        ):
            async for result in results:
                assert result.id == "0"
                break
    assert len(taken) <= 5
    assert sorted(ended) == sorted(begun)


async def test_an_error_in_the_body_leaves_as_it_is() -> None:
    """What the loop's body raises is not wrapped, and nothing is left running."""

    async def body() -> None:
        async with ParallelBatchProcessor(echo, workers=3) as processor:
            async for _ in processor.process(rows(100)):
                raise KeyError("mine")

    with anyio.fail_after(600), pytest.raises(KeyError, match="mine"):
        await body()


async def test_an_error_of_the_source_reaches_the_consumer_after_the_results_that_are_there() -> None:
    """The items taken before it have their results, then the error is raised as it is."""

    def broken() -> Iterator[LLMWorkItem[None]]:
        yield from rows(3)
        raise OSError("the file is torn")

    seen: list[str] = []

    async def consume() -> None:
        async with ParallelBatchProcessor(echo, workers=1) as processor:
            async for result in processor.process(broken()):
                seen.append(result.id)

    with pytest.raises(OSError, match="torn"):
        await consume()
    assert seen == ["0", "1", "2"]


async def test_process_needs_async_with_and_comes_once() -> None:
    """Without `async with` it says so; after it nothing else can be started, nor before."""
    with pytest.raises(RuntimeError, match="needs `async with"):
        await gathered(ParallelBatchProcessor(echo), rows(1))
    async with ParallelBatchProcessor(echo) as processor:
        assert len(await gathered(processor, rows(2))) == 2
        with pytest.raises(RuntimeError, match=r"process_all\(\) came after process\(\) has started"):
            await processor.process_all()
        with pytest.raises(RuntimeError, match=r"process\(\) came after"):
            await gathered(processor, rows(1))
        with pytest.raises(RuntimeError, match=r"add_work\(\) came after"):
            await processor.add_work(LLMWorkItem(id="a", prompt="a"))


async def test_a_processor_is_entered_once() -> None:
    """A second `async with` raises, and the first continues."""
    async with ParallelBatchProcessor(echo) as processor:
        with pytest.raises(RuntimeError, match="was entered before"):
            await processor.__aenter__()
        assert len(await gathered(processor, rows(2))) == 2


async def test_results_that_are_closed_before_the_first_never_begin() -> None:
    """Nothing is taken for them."""
    taken: list[int] = []
    async with ParallelBatchProcessor(echo) as processor:
        results = processor.process(rows(3, taken))
        await results.aclose()
        assert [result async for result in results] == []
    assert taken == []


async def test_results_that_are_closed_in_their_beginning_send_nothing() -> None:
    """The strategy is prepared by then; the run ends before its first item."""
    sent: list[str] = []

    class Closing(LLMCallStrategy[str]):
        async def prepare(self) -> None:
            await results.aclose()

        async def execute(self, item: LLMWorkItem[Any]) -> str:
            sent.append(item.id)
            return item.prompt

    async with ParallelBatchProcessor(Closing()) as processor:
        results = processor.process(rows(3))
        assert [result async for result in results] == []
    assert sent == []


async def test_one_task_at_a_time_fetches_results() -> None:
    """A second one raises; the first gets all results of one run."""
    prepared: list[str] = []

    class Slow(LLMCallStrategy[str]):
        async def prepare(self) -> None:
            prepared.append("once")
            await anyio.sleep(0.01)

        async def execute(self, item: LLMWorkItem[Any]) -> str:
            await anyio.lowlevel.checkpoint()
            return item.prompt

    async def fetch() -> None:
        try:
            seen.append([result.id async for result in results])
        except RuntimeError as error:
            refused.append(str(error))

    seen: list[list[str]] = []
    refused: list[str] = []
    async with ParallelBatchProcessor(Slow(), workers=1) as processor:
        results = processor.process(rows(5))
        with anyio.fail_after(600):
            async with anyio.create_task_group() as group:
                for _ in range(2):
                    group.start_soon(fetch)
    assert (seen, prepared) == ([["0", "1", "2", "3", "4"]], ["once"])
    assert [why.split(";")[0] for why in refused] == ["another task is fetching the next result"]


async def test_a_strategy_is_prepared_and_cleaned_up_once_around_a_stream() -> None:
    """Prepare, items, cleanup, also when the loop was left early."""
    log: list[str] = []

    class Recorder(LLMCallStrategy[str]):
        async def prepare(self) -> None:
            log.append("prepare")

        async def execute(self, item: LLMWorkItem[Any]) -> str:
            await anyio.lowlevel.checkpoint()
            log.append(item.id)
            return item.id

        async def cleanup(self) -> None:
            log.append("cleanup")

    async with ParallelBatchProcessor(Recorder(), workers=1) as processor:
        async for _ in processor.process(rows(100)):
            break
    assert log[0] == "prepare"
    assert log[-1] == "cleanup"
    assert log.count("cleanup") == log.count("prepare") == 1


async def test_cancelling_the_consumer_leaves_nothing_running() -> None:
    """A timeout around the loop ends every request under way."""
    under_way = 0

    async def call(prompt: str) -> str:
        nonlocal under_way
        under_way += 1
        try:
            await anyio.sleep(1000)
        finally:
            under_way -= 1
        return prompt

    with anyio.move_on_after(0.02) as scope:
        async with ParallelBatchProcessor(call, workers=3) as processor:
            await gathered(processor, rows(10))
    assert scope.cancelled_caught
    assert under_way == 0


async def test_a_timeout_inside_the_block_does_not_break_the_processor() -> None:
    """The loop is cancelled from a scope inside `async with`; leaving the block still cleans up."""
    async with ParallelBatchProcessor(echo, workers=2) as processor:
        with anyio.move_on_after(0.02):
            async for result in processor.process(rows(5)):
                await anyio.sleep(1000 if result.id == "3" else 0)
    assert "closed" in repr(processor)


class Stop(BaseException):
    """As serious as KeyboardInterrupt, but safe to raise inside a test runner."""


async def test_what_is_no_exception_leaves_the_stream_as_it_is() -> None:
    """A BaseException of a call ends the loop and is not wrapped in a group."""

    async def call(prompt: str) -> str:
        if prompt == "1":
            raise Stop
        await anyio.sleep(1000)
        return prompt

    async def consume() -> None:
        async with ParallelBatchProcessor(call, workers=2) as processor:
            await gathered(processor, rows(5))

    with pytest.raises(Stop):
        await consume()


async def test_a_stop_ends_the_wait_for_an_async_source() -> None:
    """A stopped run does not wait for the next item."""

    async def slow() -> AsyncIterator[LLMWorkItem[None]]:
        yield LLMWorkItem(id="a", prompt="a")
        await anyio.sleep(1000)
        yield LLMWorkItem(id="b", prompt="b")

    async def call(prompt: str) -> str:
        raise ValueError(prompt)

    with anyio.fail_after(600):
        async with ParallelBatchProcessor(call, fail_fast=True) as processor:
            (result,) = await gathered(processor, slow())
    assert isinstance(result.error, ValueError)


async def test_batch_size_holds_for_an_async_source_with_many_workers() -> None:
    """However many workers wait for room, no item is taken up without it."""
    taken: list[int] = []
    worst = 0

    async def source() -> AsyncIterator[LLMWorkItem[None]]:
        for item in rows(30, taken):
            await anyio.lowlevel.checkpoint()
            yield item

    async with ParallelBatchProcessor(echo, workers=10, batch_size=2) as processor:
        fetched = 0
        async for _ in processor.process(source()):
            worst = max(worst, len(taken) - fetched)
            fetched += 1
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
    assert (fetched, worst) == (30, 2)


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("stranger", [None, "row-1"])
async def test_what_is_no_item_ends_the_stream_with_an_error(later: bool, stranger: Any) -> None:
    """Neither `None` nor anything else is taken for the end, and the error says what to make of it."""
    given: list[Any] = [*rows(1), stranger, *rows(2)]

    async def source() -> AsyncIterator[Any]:
        for item in given:
            await anyio.lowlevel.checkpoint()
            yield item

    async with ParallelBatchProcessor(echo, workers=1) as processor:
        results = processor.process(source() if later else iter(given))
        assert (await anext(results)).value == "echo 0"
        with pytest.raises(TypeError, match=r"an LLMWorkItem, not .*; make it one"):
            await anext(results)
    with pytest.raises(TypeError, match="an LLMWorkItem, not"):
        await ParallelBatchProcessor(echo).add_work(stranger)
