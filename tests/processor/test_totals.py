"""How many items are under way, when the first result came, and what the log says at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import anyio
import pytest

import wavetank
from wavetank.processor import BatchResult, Limits, LLMWorkItem, ParallelBatchProcessor

from ..depth import by_turns

OPEN = Limits(requests_per_minute=1e9)
"""So wide that only the bounds of the processor hold requests back."""


class Provider:
    """Answers after one second, or after those given for a prompt; counts what is under way."""

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self.seconds = seconds or {}
        self.under_way = self.peak = 0

    async def __call__(self, prompt: str) -> str:
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        await anyio.sleep(self.seconds.get(prompt, 1.0))
        self.under_way -= 1
        if prompt.startswith("bad"):
            raise ValueError("no such thing")
        return prompt


def batch(
    call: Provider, ids: list[str], backend: str, *, at_once: int | None = None, **options: Any
) -> BatchResult[str]:
    """One batch in virtual time, each id its own prompt."""

    async def main(_: wavetank.Tank) -> BatchResult[str]:
        async with ParallelBatchProcessor(call, **options) as processor:
            for id in ids:
                await processor.add_work(LLMWorkItem(id, id))
            return await processor.process_all(batch_size=at_once)

    run = wavetank.simulate(main, "calm", backend=backend, checks=[])
    assert run.value is not None, run.error
    return run.value


both = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@by_turns(
    case=[
        ({"workers": 50}, 5, 5),
        ({"workers": 3}, 5, 3),
        ({"workers": 50, "batch_size": 7}, None, 7),
        ({"workers": 50, "batch_size": 7}, 9, 9),
        ({"workers": 50}, None, 50),
        ({"workers": 150}, None, 150),
        ({"workers": 150}, 120, 120),
        ({"workers": 150, "scope": lambda item: item.id[-1]}, 20, 20),
    ],
    backend=["asyncio", "trio"],
)
def test_the_smaller_of_batch_size_and_workers_bounds_what_is_under_way(
    case: tuple[dict[str, Any], int | None, int], backend: str
) -> None:
    """Both are reached and neither is exceeded; the argument takes the place of the constructor's."""
    options, at_once, peak = case
    provider = Provider()
    ids = [str(number) for number in range(300)]
    result = batch(provider, ids, backend, at_once=at_once, limits=OPEN, **options)
    assert (result.succeeded, provider.peak) == (300, peak)


@both
def test_batch_size_is_no_barrier(backend: str) -> None:
    """An item that takes long holds one place, and the others go on beside it."""
    provider = Provider({"0": 10.0})
    result = batch(provider, [str(number) for number in range(40)], backend, at_once=5, limits=OPEN)
    assert (result.succeeded, provider.peak) == (40, 5)
    assert result.seconds == pytest.approx(10.0, abs=0.1)


@both
def test_a_stream_takes_a_batch_size_of_its_own(backend: str) -> None:
    """It bounds what is under way, and how far the source is read ahead of the results."""
    provider = Provider()
    taken = fetched = ahead = 0

    def rows() -> Iterator[LLMWorkItem[None]]:
        nonlocal taken, ahead
        for taken in range(1, 31):
            ahead = max(ahead, taken - fetched)
            yield LLMWorkItem(str(taken), "x")

    async def main(_: wavetank.Tank) -> None:
        nonlocal fetched
        async with ParallelBatchProcessor(provider, limits=OPEN, batch_size=9) as processor:
            async for _result in processor.process(rows(), batch_size=4):
                fetched += 1

    wavetank.simulate(main, "calm", backend=backend, checks=[]).check()
    assert (fetched, provider.peak, ahead) == (30, 4, 4)


@pytest.mark.anyio
async def test_a_batch_size_below_one_is_refused_and_starts_nothing() -> None:
    """The processor can still be used with a right one."""
    async with ParallelBatchProcessor(Provider({"a": 0.0})) as processor:
        await processor.add_work(LLMWorkItem("a", "a"))
        with pytest.raises(ValueError, match="batch_size must be at least 1, not 0"):
            await processor.process_all(batch_size=0)
        with pytest.raises(ValueError, match="batch_size must be at least 1, not -1"):
            processor.process([], batch_size=-1)
        assert (await processor.process_all()).succeeded == 1


def unprepared(item: LLMWorkItem[Any]) -> LLMWorkItem[Any]:
    if item.id == "1":
        raise KeyError("schema")
    return item


@both
@pytest.mark.parametrize(
    ("seconds", "options", "first"),
    [
        ({"0": 9.0, "2": 3.0}, {}, 1.0),
        ({"0": 9.0, "2": 3.0}, {"order": "input"}, 1.0),
        ({"0": 5.0, "2": 5.0}, {"prepare_item": unprepared}, 5.0),
        ({"0": 5.0, "2": 7.0}, {"prepare_item": unprepared, "order": "input"}, 5.0),
    ],
)
def test_the_first_result_is_the_first_that_came_from_the_provider(
    backend: str, seconds: dict[str, float], options: dict[str, Any], first: float
) -> None:
    """The order in which results are handed on, and an item that was never sent, change nothing."""
    result = batch(Provider(seconds), ["0", "1", "2"], backend, workers=3, limits=OPEN, **options)
    assert result.first_result_seconds == pytest.approx(first)


@both
def test_a_batch_of_which_nothing_was_sent_has_no_first_result(backend: str) -> None:
    """Neither a failed preparation nor an item that is too large arrived from anywhere."""
    large = Limits(tokens_per_minute=1000)
    result = batch(
        Provider(), ["1", "2"], backend, prepare_item=unprepared, limits=large, estimate_tokens=lambda _: 2000
    )
    assert (result.failed, result.requests, result.first_result_seconds) == (2, 0, None)


def log_of(caplog: pytest.LogCaptureFixture, work: Callable[[], object]) -> list[str]:
    """The lines of the log at INFO with the totals."""
    with caplog.at_level(logging.INFO, "wavetank.processor"):
        work()
    return [record.message for record in caplog.records if record.message.startswith("ended after")]


@both
def test_the_log_ends_with_the_totals(backend: str, caplog: pytest.LogCaptureFixture) -> None:
    """Time, outcomes, requests and the mean time of one: five requests of 0.5 s, one after the other."""
    ids = ["0", "1", "2", "3", "bad"]
    provider = Provider(dict.fromkeys(ids, 0.5))
    assert log_of(caplog, lambda: batch(provider, ids, backend, workers=1)) == [
        "ended after 2.500 s: 4 succeeded, 1 failed; "
        "requests: 5, 0 refused, 0 retries, 0.500 s per request; first result after 0.500 s"
    ]


def test_the_log_has_the_totals_of_a_batch_that_an_error_ended(caplog: pytest.LogCaptureFixture) -> None:
    """Also where a sink fails, and where nothing was sent at all."""

    class Full:
        async def write(self, *_: object) -> None:
            raise OSError("disk full")

    def broken() -> None:
        with pytest.raises(AssertionError, match="disk full"):
            batch(Provider(), ["0"], "asyncio", sinks=(Full(),))
        batch(Provider(), [], "asyncio")

    assert log_of(caplog, broken) == [
        "ended after 1.000 s: 1 succeeded, 0 failed; "
        "requests: 1, 0 refused, 0 retries, 1.000 s per request; first result after 1.000 s",
        "ended after 0.000 s: 0 succeeded, 0 failed; requests: 0, 0 refused, 0 retries, 0.000 s per request",
    ]
