"""What becomes of an outcome that is there: nothing cuts its delivery short."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wavetank.processor import (
    BatchResult,
    Bounds,
    ItemResult,
    LLMWorkItem,
    ParallelBatchProcessor,
    RunStopped,
)

from .stepping import USUAL, one_batch, stepped

on_both = pytest.mark.parametrize("backend", ["asyncio", "trio"])
in_both_orders = pytest.mark.parametrize("order", ["input", "completed"])


class Rows:
    """A sink that takes its time for a row."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.got: list[tuple[str, Any]] = []

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        await anyio.sleep(self.seconds)
        self.got.append((item.id, result.value))


async def slow_if_asked(prompt: str) -> str:
    """Takes 0.1 s, or an hour for `slow`."""
    await anyio.sleep(3600 if prompt == "slow" else 0.1)
    return prompt


def batch(backend: str, ids: Sequence[str], call: Any = slow_if_asked, **options: Any) -> BatchResult[Any]:
    """One batch in virtual time, each id its own prompt."""
    return one_batch(backend, ids, call, **options)


async def in_five_seconds(item: LLMWorkItem[Any], value: str) -> str:
    """A slow post-processing."""
    await anyio.sleep(5)
    return f"{item.id} is {value}"


@on_both
@in_both_orders
def test_a_bound_on_time_cuts_no_delivery(backend: str, order: Any) -> None:
    """Post-processing and sinks get each outcome whole, however late; only requests are cut."""
    rows = Rows(5)
    done = batch(
        backend,
        ["a", "b", "slow"],
        post_process=in_five_seconds,
        sinks=(rows,),
        bounds=Bounds(seconds=0.5),
        order=order,
    )
    assert [result.value for result in done.results] == ["a is a", "b is b", None]
    assert sorted(rows.got) == [("a", "a is a"), ("b", "b is b")]
    assert isinstance(done.results[2].error, RunStopped)
    assert done.stopped == "its time was up"


@on_both
def test_a_run_with_all_outcomes_is_not_stopped_by_its_time_limit(backend: str) -> None:
    """The bound is on what is sent; what is delivered after it makes no run an early end."""
    done = batch(backend, "ab", post_process=in_five_seconds, bounds=Bounds(seconds=0.5))
    assert done.stopped is None
    assert done.succeeded == 2


@on_both
def test_a_bound_on_time_cuts_preparation(backend: str) -> None:
    """What is still to be prepared then is not sent."""

    async def prepare(item: LLMWorkItem[Any]) -> LLMWorkItem[Any]:
        await anyio.sleep(1)
        return item

    done = batch(backend, "abc", prepare_item=prepare, bounds=Bounds(seconds=2.5))
    assert (done.requests, done.stopped) == (0, "its time was up")
    assert all(isinstance(result.error, RunStopped) for result in done.results)


@on_both
def test_a_stream_that_waits_for_its_source_is_ended_by_the_time(backend: str) -> None:
    """No worker waits for an item after the time limit, and a slow consumer still gets all results."""
    got: list[Any] = []

    async def main() -> None:
        async def source() -> Any:
            yield LLMWorkItem(id="a", prompt="a")
            await anyio.sleep_forever()

        bounds = Bounds(seconds=1)
        async with ParallelBatchProcessor(slow_if_asked, workers=2, bounds=bounds, limits=USUAL) as processor:
            async for result in processor.process(source()):
                await anyio.sleep(3)
                got.append((result.value, anyio.current_time()))

    stepped(main, backend)
    assert [value for value, _ in got] == ["a"]


@in_both_orders
def test_a_worker_cancelled_while_it_delivers_leaves_the_delivery_to_another(order: Any) -> None:
    """The value is the post-processed one, and the sink gets the row, whichever task is cancelled."""
    rows = Rows()
    cancelled: list[str] = []

    async def write_or_be_cancelled(item: LLMWorkItem[Any], value: str) -> str:
        if not cancelled and (task := asyncio.current_task()) is not None:
            cancelled.append(item.id)
            task.cancel()
        await anyio.lowlevel.checkpoint()
        return f"{item.id} is {value}"

    done = batch("asyncio", "abc", post_process=write_or_be_cancelled, sinks=(rows,), order=order, workers=2)
    values = ["a is a", "b is b", "c is c"]
    assert [result.value for result in done.results] == values
    assert sorted(value for _, value in rows.got) == values
    assert order != "input" or [value for _, value in rows.got] == values


async def leak(*_: object) -> Any:
    """Awaits a future that was cancelled."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.parametrize("hook", ["prepare_item", "post_process"])
def test_a_cancellation_that_leaks_into_a_callback_fails_only_its_item(hook: str) -> None:
    """It says what happened, and the workers go on."""

    async def leak_for_b(item: LLMWorkItem[Any], value: Any = None) -> Any:
        if item.id == "b":
            await leak()
        return item if value is None else value

    done = batch("asyncio", "abc", **{hook: leak_for_b})
    assert [result.value for result in done.results] == ["a", None, "c"]
    assert "LeakedCancellation: it awaited a task or future that was cancelled" in str(done.results[1].reason)


def test_a_cancellation_that_leaks_into_a_callback_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged as any error of a callback is."""
    done = batch("asyncio", "abc", on_result=leak)
    assert done.succeeded == 3
    assert "on_result raised" in caplog.text


def test_a_cancellation_that_leaks_into_a_sink_stops_the_run_with_an_error() -> None:
    """It is an error of the sink, not the end of a worker in silence."""

    class Leaking:
        async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
            await leak(item, result)

    with pytest.raises(RuntimeError, match="it awaited a task or future that was cancelled"):
        batch("asyncio", "abc", sinks=(Leaking(),))
