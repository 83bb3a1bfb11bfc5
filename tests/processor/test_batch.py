"""The batch processor: its lifecycle, its results and what it does when tasks are cancelled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wavetank.processor import (
    CallResult,
    ItemResult,
    LLMCallStrategy,
    LLMWorkItem,
    ParallelBatchProcessor,
    TokenUsage,
    WorkerLost,
)

from ..depth import n_of
from .stepping import USUAL

pytestmark = pytest.mark.anyio

MANY = n_of(2_000, 10_000)


class Recorder(LLMCallStrategy[str]):
    """A strategy that writes down what it is asked to do; given an error it raises it in that method."""

    def __init__(self, fails_in: str = "") -> None:
        self.fails_in = fails_in
        self.log: list[str] = []

    async def prepare(self) -> None:
        await self.note("prepare")

    async def execute(self, item: LLMWorkItem[Any]) -> str:
        await self.note(item.id)
        return item.id.upper()

    async def cleanup(self) -> None:
        await self.note("cleanup")

    async def note(self, what: str) -> None:
        self.log.append(what)
        await anyio.lowlevel.checkpoint()
        if what == self.fails_in:
            raise ValueError(f"no {what}")


async def echo(prompt: str) -> str:
    """A provider that never refuses."""
    await anyio.lowlevel.checkpoint()
    return f"echo {prompt}"


async def fill(processor: ParallelBatchProcessor[Any], ids: str) -> None:
    """One item for each letter, with the prompt `prompt <letter>`."""
    for letter in ids:
        await processor.add_work(LLMWorkItem(id=letter, prompt=f"prompt {letter}"))


async def test_a_batch_from_end_to_end() -> None:
    """Every item comes back with its id, its value, no error and one attempt."""
    async with ParallelBatchProcessor(echo, workers=10) as processor:
        await processor.add_work(LLMWorkItem(id="a", prompt="wave", data=None))
        await processor.add_work(LLMWorkItem(id="b", prompt="tank", data={"row": 2}))
        batch = await processor.process_all()
    assert batch.results == (
        ItemResult("a", "echo wave", attempts=1),
        ItemResult("b", "echo tank", attempts=1),
    )
    assert (batch.succeeded, batch.failed, batch.usage) == (2, 0, TokenUsage())
    assert batch.first_result_seconds is not None
    assert 0 <= batch.first_result_seconds <= batch.seconds


async def test_an_empty_batch() -> None:
    """Without items there are no results, no first result, and no call of the strategy."""
    strategy = Recorder()
    async with ParallelBatchProcessor(strategy) as processor:
        batch = await processor.process_all()
    assert batch.results == ()
    assert (batch.succeeded, batch.failed, batch.first_result_seconds) == (0, 0, None)
    assert strategy.log == []


async def test_add_work_after_the_start_is_refused() -> None:
    """Adding work while the batch runs and after it raises, and the message says what to do."""

    async def call(prompt: str) -> str:
        with pytest.raises(RuntimeError, match="add every item first"):
            await fill(processor, "b")
        return prompt

    processor = ParallelBatchProcessor(call)
    await fill(processor, "a")
    assert (await processor.process_all()).succeeded == 1
    with pytest.raises(RuntimeError, match=r"add_work\(\) came after process_all\(\) has started"):
        await fill(processor, "c")


async def test_a_second_process_all_is_refused() -> None:
    """A second process_all raises, also while the first runs, and the message says what to do."""

    async def call(prompt: str) -> str:
        with pytest.raises(RuntimeError, match="new ParallelBatchProcessor"):
            await processor.process_all()
        return prompt

    processor = ParallelBatchProcessor(call)
    await fill(processor, "a")
    assert (await processor.process_all()).succeeded == 1
    with pytest.raises(RuntimeError, match=r"process_all\(\) came after"):
        await processor.process_all()


async def test_a_closed_processor_takes_no_work() -> None:
    """After `async with` nothing can be added, processed or entered again."""
    processor = ParallelBatchProcessor(echo)
    async with processor:
        assert "new, 0 items, 10 workers" in repr(processor)
    with pytest.raises(RuntimeError, match="the processor was closed"):
        await fill(processor, "a")
    with pytest.raises(RuntimeError, match="the processor was closed"):
        await processor.process_all()
    with pytest.raises(RuntimeError, match="the processor was closed"):
        await processor.__aenter__()


async def test_an_id_is_used_once() -> None:
    """A second item with the same id raises, and the batch keeps only the first."""
    processor = ParallelBatchProcessor(echo)
    await fill(processor, "ab")
    with pytest.raises(ValueError, match="'a'"):
        await processor.add_work(LLMWorkItem(id="a", prompt="again"))
    batch = await processor.process_all()
    assert [result.value for result in batch.results] == ["echo prompt a", "echo prompt b"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", -1),
        ("max_attempts", 0),
        ("max_rate_limit_retries", -1),
        ("max_rate_limit_seconds", -0.5),
        ("max_rate_limit_seconds", float("nan")),
    ],
)
async def test_arguments_that_are_too_small(name: str, value: float) -> None:
    """The error names the argument and its value."""
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=rf"^{name} must be at least \d, not {value}$"):
        ParallelBatchProcessor(echo, **options)


@pytest.mark.parametrize("call", [None, "gpt", object(), Recorder])
async def test_a_call_of_the_wrong_kind(call: Any) -> None:
    """What is neither a function nor a strategy, or is a strategy's class, is refused at once."""
    with pytest.raises(TypeError, match="pass a function or an instance of a strategy"):
        ParallelBatchProcessor(call)


async def test_a_strategy_is_prepared_once_before_the_first_item_and_cleaned_up_once_at_the_end() -> None:
    """However many workers share it, and it sees whole items."""
    strategy = Recorder()
    async with ParallelBatchProcessor(strategy, workers=4) as processor:
        await fill(processor, "abcdefgh")
        batch = await processor.process_all()
        assert "cleanup" not in strategy.log
    await processor.__aexit__(None, None, None)
    assert strategy.log[0] == "prepare"
    assert strategy.log[-1] == "cleanup"
    assert sorted(strategy.log[1:-1]) == list("abcdefgh")
    assert [result.value for result in batch.results] == list("ABCDEFGH")


async def test_without_async_with_there_is_no_cleanup() -> None:
    """The batch works, and cleaning up is left to the caller."""
    strategy = Recorder()
    processor = ParallelBatchProcessor(strategy)
    await fill(processor, "a")
    assert (await processor.process_all()).succeeded == 1
    assert strategy.log == ["prepare", "a"]


async def test_cleanup_comes_after_an_error_in_the_body() -> None:
    """The error of the body leaves `async with`, and the strategy has been cleaned up once."""
    strategy = Recorder()

    async def body() -> None:
        async with ParallelBatchProcessor(strategy) as processor:
            await fill(processor, "a")
            await processor.process_all()
            raise KeyError

    with pytest.raises(KeyError):
        await body()
    assert strategy.log == ["prepare", "a", "cleanup"]


async def test_cleanup_comes_after_a_failed_prepare() -> None:
    """The error of `prepare` reaches the caller, no item is tried, and half-made things are cleaned up."""
    strategy = Recorder(fails_in="prepare")
    async with ParallelBatchProcessor(strategy) as processor:
        await fill(processor, "a")
        with pytest.raises(ValueError, match="no prepare"):
            await processor.process_all()
    assert strategy.log == ["prepare", "cleanup"]


async def test_cleanup_comes_in_a_cancelled_scope() -> None:
    """Cancelling the batch does not cut the cleanup off."""
    strategy = Recorder()
    done = []

    async def cleanup() -> None:
        await anyio.sleep(0.001)
        done.append("cleanup")

    strategy.cleanup = cleanup  # type: ignore[method-assign]
    with anyio.CancelScope() as scope:
        async with ParallelBatchProcessor(strategy) as processor:
            await fill(processor, "a")
            await processor.process_all()
            scope.cancel()
            await anyio.sleep(1)
    assert done == ["cleanup"]


async def test_an_error_in_cleanup_is_logged_and_not_fatal(caplog: pytest.LogCaptureFixture) -> None:
    """The results are there, and the log holds the error."""
    with caplog.at_level(logging.ERROR):
        async with ParallelBatchProcessor(Recorder(fails_in="cleanup")) as processor:
            await fill(processor, "a")
            batch = await processor.process_all()
    assert batch.succeeded == 1
    assert "no cleanup" in caplog.text


async def test_no_cleanup_if_nothing_was_prepared() -> None:
    """A batch that never started has nothing to clean up."""
    strategy = Recorder()
    async with ParallelBatchProcessor(strategy) as processor:
        await fill(processor, "a")
    assert strategy.log == []


async def test_results_come_in_the_order_of_the_items() -> None:
    """Whichever item is done first, results stand in the order in which the items were added."""
    order: list[str] = []
    done = {item: anyio.Event() for item in "abcde"}
    done["e"].set()

    async def call(prompt: str) -> str:
        item = prompt[-1]
        await done[chr(ord(item) + 1)].wait()
        order.append(item)
        done[item].set()
        return item

    processor = ParallelBatchProcessor(call, workers=4)
    await fill(processor, "abcd")
    batch = await processor.process_all()
    assert order == list("dcba")
    assert [(result.id, result.value) for result in batch.results] == [(x, x) for x in "abcd"]


async def test_one_failing_item_does_not_stop_the_others() -> None:
    """An error of the caller's own code fails its item at the first attempt; the others succeed."""
    error = ValueError("bad row")

    async def call(prompt: str) -> str:
        if prompt == "prompt b":
            raise error
        return prompt

    processor = ParallelBatchProcessor(call, workers=1)
    await fill(processor, "abc")
    batch = await processor.process_all()
    assert (batch.succeeded, batch.failed) == (2, 1)
    failed = batch.results[1]
    assert (failed.value, failed.error, failed.attempts) == (None, error, 1)
    assert failed.reason == "no status, ValueError"


async def test_a_value_of_none_is_a_success() -> None:
    """Success is the absence of an error, not a value that is true."""

    async def call(_: str) -> None:
        await anyio.lowlevel.checkpoint()

    processor = ParallelBatchProcessor(call)
    await fill(processor, "a")
    assert (await processor.process_all()).succeeded == 1


async def test_usage_is_summed_over_the_batch() -> None:
    """A call may wrap its value to report tokens; values come out unwrapped, bare ones count nothing."""

    async def call(prompt: str) -> str | CallResult[str]:
        await anyio.lowlevel.checkpoint()
        return prompt if prompt == "prompt b" else CallResult(prompt, usage=TokenUsage(10, 3))

    processor = ParallelBatchProcessor(call)
    await fill(processor, "abc")
    batch = await processor.process_all()
    assert [result.value for result in batch.results] == ["prompt a", "prompt b", "prompt c"]
    assert (batch.usage, batch.usage.total) == (TokenUsage(20, 6), 26)


async def test_no_more_requests_at_once_than_workers() -> None:
    """With three workers three requests are under way at the peak, never four."""
    under_way = peak = 0

    async def call(prompt: str) -> str:
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        await anyio.sleep(0.001)
        under_way -= 1
        return prompt

    processor = ParallelBatchProcessor(call, workers=3, limits=USUAL)
    await fill(processor, "abcdefghij")
    await processor.process_all()
    assert peak == 3


@pytest.mark.parametrize("is_async", [True, False])
async def test_on_result_gets_each_outcome_as_it_comes(is_async: bool) -> None:
    """A sync and an async callback are called once for each item, failed ones included."""
    received: list[ItemResult[Any]] = []

    async def call(prompt: str) -> str:
        assert len(received) == "abc".index(prompt[-1])
        if prompt == "prompt b":
            raise ValueError
        return prompt

    async def receive(result: ItemResult[Any]) -> None:
        await anyio.lowlevel.checkpoint()
        received.append(result)

    processor = ParallelBatchProcessor(call, workers=1, on_result=receive if is_async else received.append)
    await fill(processor, "abc")
    batch = await processor.process_all()
    assert tuple(received) == batch.results
    assert batch.failed == 1


async def test_an_error_in_on_result_loses_no_result(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with the item's id, and every outcome is in the batch."""

    def full(result: ItemResult[Any]) -> None:
        raise OSError(f"disk full at {result.id}")

    processor = ParallelBatchProcessor(echo, on_result=full)
    await fill(processor, "abc")
    with caplog.at_level(logging.ERROR):
        batch = await processor.process_all()
    assert batch.succeeded == 3
    assert "disk full at b" in caplog.text


async def test_a_cancelled_batch_leaves_nothing_running() -> None:
    """When process_all is cancelled every request under way is cancelled, and none starts after it."""
    log: list[str] = []

    async def call(prompt: str) -> str:
        log.append("start")
        if len(log) == 3:
            scope.cancel()
        try:
            await anyio.sleep(1000)
        finally:
            log.append("end")
        return prompt

    processor = ParallelBatchProcessor(call, workers=3)
    await fill(processor, "abcdef")
    with anyio.CancelScope() as scope:
        await processor.process_all()
    assert scope.cancelled_caught
    assert log == ["start"] * 3 + ["end"] * 3


class Stop(BaseException):
    """As serious as KeyboardInterrupt, but safe to raise inside a test runner."""


async def test_what_is_no_exception_reaches_the_caller_as_it_is() -> None:
    """A BaseException of a call ends the batch and is not wrapped in a group."""

    async def call(prompt: str) -> str:
        if prompt == "prompt b":
            raise Stop
        await anyio.sleep(1000)
        return prompt

    processor = ParallelBatchProcessor(call)
    await fill(processor, "abc")
    with pytest.raises(Stop):
        await processor.process_all()


async def test_many_items_need_no_more_tasks_than_workers() -> None:
    """Workers take items one after the other: the tasks alive are the workers and the caller's."""
    tasks = 0

    async def call(prompt: str) -> str:
        nonlocal tasks
        if prompt.endswith("00"):
            tasks = max(tasks, sum("worker" in (task.name or "") for task in anyio.get_running_tasks()))
        return prompt

    processor = ParallelBatchProcessor(call, workers=8)
    for number in range(MANY):
        await processor.add_work(LLMWorkItem(id=str(number), prompt=str(number)))
    with anyio.fail_after(600):
        batch = await processor.process_all()
    assert tasks == 8
    assert batch.succeeded == MANY
    assert [result.value for result in batch.results] == [str(number) for number in range(MANY)]


def run_on_asyncio(main: Callable[[], Awaitable[None]]) -> None:
    """For what only asyncio has: tasks that anybody may cancel."""
    anyio.run(main, backend="asyncio")


def test_a_cancelled_error_that_leaks_from_a_call_fails_only_its_item() -> None:
    """A call that awaits a cancelled future raises CancelledError; its worker goes on with the next item."""

    async def call(prompt: str) -> str:
        if prompt == "prompt a":
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future
        return prompt

    async def main() -> None:
        processor = ParallelBatchProcessor(call, workers=1)
        await fill(processor, "ab")
        batch = await processor.process_all()
        assert isinstance(batch.results[0].error, asyncio.CancelledError)
        assert batch.results[1].value == "prompt b"

    run_on_asyncio(main)


def test_a_worker_cancelled_from_outside_loses_no_item() -> None:
    """Its item fails with an error that says so, the callback gets it, and all others are processed."""
    received: list[str] = []

    async def call(prompt: str) -> str:
        task = asyncio.current_task()
        if prompt in ("prompt a", "prompt c") and task is not None:
            task.cancel()
            await anyio.sleep(1000)
        return prompt

    async def main() -> None:
        processor = ParallelBatchProcessor(
            call, workers=1, on_result=lambda result: received.append(result.id)
        )
        await fill(processor, "abcd")
        batch = await processor.process_all()
        assert [isinstance(result.error, WorkerLost) for result in batch.results] == [
            True,
            False,
            True,
            False,
        ]
        assert [result.attempts for result in batch.results] == [1, 1, 1, 1]
        assert sorted(received) == list("abcd")

    run_on_asyncio(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_keyboard_interrupt_reaches_the_caller(backend: str) -> None:
    """KeyboardInterrupt in a call leaves `anyio.run` as KeyboardInterrupt."""

    async def call(_: str) -> str:
        raise KeyboardInterrupt

    async def main() -> None:
        processor = ParallelBatchProcessor(call)
        await fill(processor, "ab")
        await processor.process_all()

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend=backend)
