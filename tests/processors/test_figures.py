"""How close the reference processor comes to the ideal before a limit, in virtual time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import MILLISECOND, SECOND, Duration
from wavetank.processor import BatchResult, Limits, LLMWorkItem, ParallelBatchProcessor
from wavetank.scenario import DurationRange, Latency
from wavetank.scenario import Limits as ProviderLimits

from ..depth import in_turn, n_of

PER_SECOND, BURST, SERVICE = 60, 10, 0.05


def limited(refusal_ms: int) -> Scenario:
    """Sixty requests a second, ten at once; going over refuses everything for a second."""
    service, refusal = Duration(50 * MILLISECOND), Duration(refusal_ms * MILLISECOND)
    return Scenario(
        latency=Latency(first_token=DurationRange(service, service), refusal=DurationRange(refusal, refusal)),
        limits=ProviderLimits(
            requests_per_minute=PER_SECOND * 60,
            burst=Duration(-(-BURST * SECOND // PER_SECOND)),
            penalty=Duration(SECOND),
        ),
    )


def run(items: int, workers: int, refusal_ms: int, backend: str, **options: Any) -> tuple[float, int, int]:
    """The time against the ideal, the refusals and the waves they belong to; no item is lost or doubled."""

    async def main(tank: Tank) -> BatchResult[str]:
        tank.expect(in_flight=workers)

        async def ask(prompt: str) -> str:
            return (await tank.fake_llm.call(prompt, item=prompt)).text

        async with ParallelBatchProcessor(ask, workers=workers, **options) as processor:
            for number in range(items):
                tank.ledger.submit(f"item-{number}")
                await processor.add_work(LLMWorkItem(id=f"item-{number}", prompt=f"item-{number}"))
            batch = await processor.process_all()
        for result in batch.results:
            tank.ledger.complete(result.id, result.value)
        return batch

    one = wavetank.simulate(main, limited(refusal_ms), backend=backend, checks="strict")
    one.check()
    assert one.value is not None
    paid = Counter(event.item for event in one.events.of("delivered") if event.status == 200)
    assert sorted(paid.values()) == [1] * items
    refused = [event.at - refusal_ms * MILLISECOND for event in one.events.of("refused")]
    waves, ends = 0, -1
    for at in sorted(refused):
        if at >= ends:
            waves, ends = waves + 1, at + SECOND
    ideal = (items - BURST) / PER_SECOND + SERVICE
    return one.value.seconds / ideal, len(refused), waves


@pytest.mark.parametrize(
    ("items", "workers", "backend", "refusal_ms"),
    [
        (*batch, refusal_ms)
        for turn, batch in enumerate(
            [
                (200, 5, "trio"),
                (200, 10, "asyncio"),
                (200, 200, "trio"),
                (n_of(1200, 2000), 50, "trio"),
                (2000, 10, "asyncio"),
            ][: n_of(4, 5)]
        )
        for refusal_ms in in_turn(turn, (500, 10, 0))
    ],
)
def test_an_unknown_limit_costs_at_most_half_as_much_again(
    items: int, workers: int, backend: str, refusal_ms: int
) -> None:
    """And eight or 2 % of the requests are refused, 6 % where a refusal takes half a second."""
    times_ideal, refused, _ = run(items, workers, refusal_ms, backend)
    assert times_ideal <= 1.5
    assert refused <= max(8, items * (0.06 if refusal_ms == 500 else 0.02))


@pytest.mark.parametrize(
    ("items", "backend"), [(200, "asyncio"), (200, "trio"), (2000, "asyncio")][: n_of(2, 3)]
)
def test_a_configured_limit_costs_at_most_a_fiftieth(items: int, backend: str) -> None:
    """And no request is refused."""
    limits = Limits(requests_per_minute=PER_SECOND * 60, burst=BURST)
    times_ideal, refused, _ = run(items, 10, 10, backend, limits=limits)
    assert times_ideal <= 1.02
    assert refused == 0


@pytest.mark.parametrize("refusal_ms", [10, 2000])
def test_refusals_that_keep_coming_freeze_nothing(refusal_ms: int) -> None:
    """Waves of four seconds in every five leave a fifth of the time, and the batch comes home in it."""
    wave = wavetank.scenario.Wave(
        at=Duration(0), lasts=Duration(4 * SECOND), every=Duration(5 * SECOND), times=200
    )
    refusal = Duration(refusal_ms * MILLISECOND)
    scenario = Scenario(
        latency=Latency(
            first_token=DurationRange(Duration(50 * MILLISECOND), Duration(150 * MILLISECOND)),
            refusal=DurationRange(refusal, refusal),
        ),
        wave=(wave,),
    )

    async def main(tank: Tank) -> int:
        async def ask(prompt: str) -> str:
            return (await tank.fake_llm.call(prompt, item=prompt)).text

        async with ParallelBatchProcessor(ask, workers=10) as processor:
            for number in range(300):
                await processor.add_work(LLMWorkItem(id=str(number), prompt=str(number)))
            return (await processor.process_all()).failed

    one = wavetank.simulate(main, scenario)
    one.check()
    assert one.value == 0
    assert one.virtual_seconds < 400
