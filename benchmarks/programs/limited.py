"""A provider with a limit, and the reference processor before it; time is virtual."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NamedTuple

import anyio

import wavetank
from wavetank import Scenario, Tank
from wavetank.clock import MILLISECOND, SECOND, Duration
from wavetank.processor import BatchResult, Limits, LLMWorkItem, ParallelBatchProcessor
from wavetank.scenario import DurationRange, Latency
from wavetank.scenario import Limits as ProviderLimits

PER_SECOND: Final = 60
BURST: Final = 10
SERVICE_SECONDS: Final = 0.05
WAVE_SECONDS: Final = 1.0

KNOWN: Final = Limits(requests_per_minute=PER_SECOND * 60, burst=BURST)
"""The limit as a caller would configure it."""

Main = Callable[[Tank], Awaitable[BatchResult[Any]]]


class Figure(NamedTuple):
    """How one batch went: time against the ideal, refusals, waves, items lost or doubled, failed checks."""

    times_ideal: float
    refused: int
    waves: int
    astray: int
    blamed: tuple[str, ...]


def limited(refusal_ms: int) -> Scenario:
    """Sixty requests a second, ten at once; going over refuses everything for a second."""
    service, refusal = (Duration(ms * MILLISECOND) for ms in (int(SERVICE_SECONDS * 1000), refusal_ms))
    return Scenario(
        name="limited",
        title="Limited",
        story="Sixty requests a second; going over them opens a wave of one second.",
        latency=Latency(first_token=DurationRange(service, service), refusal=DurationRange(refusal, refusal)),
        limits=ProviderLimits(
            requests_per_minute=PER_SECOND * 60,
            burst=Duration(-(-BURST * SECOND // PER_SECOND)),
            penalty=Duration(int(WAVE_SECONDS * SECOND)),
        ),
    )


def ideal_seconds(items: int) -> float:
    """The shortest time in which so many items can be done."""
    return max(0, items - BURST) / PER_SECOND + SERVICE_SECONDS


def batch(items: int, workers: int, **options: Any) -> Main:
    """So many items by so many workers, each outcome in the ledger."""

    async def main(tank: Tank) -> BatchResult[Any]:
        tank.expect(in_flight=workers)

        async def ask(prompt: str) -> str:
            return (await tank.fake_llm.call(prompt, item=prompt)).text

        async with ParallelBatchProcessor(ask, workers=workers, **options) as processor:
            for number in range(items):
                tank.ledger.submit(f"item-{number}")
                await processor.add_work(LLMWorkItem(id=f"item-{number}", prompt=f"item-{number}"))
            result = await processor.process_all()
        for one in result.results:
            if one.error is None:
                tank.ledger.complete(one.id, one.value)
            else:
                tank.ledger.fail(one.id, one.error)
        return result

    return main


def figure(items: int, workers: int, refusal_ms: int, backend: str, **options: Any) -> Figure:
    """One run, and what came of it."""
    run = wavetank.simulate(
        batch(items, workers, **options), limited(refusal_ms), backend=backend, checks="strict"
    )
    if run.error is not None or run.value is None:
        raise SystemExit(f"{items} items, {workers} workers, refusals of {refusal_ms} ms: {run.error!r}")
    refused = [event.at for event in run.events.of("refused")]
    paid = Counter(str(event.item) for event in run.events.of("delivered") if event.status == 200)
    return Figure(
        run.value.seconds / ideal_seconds(items),
        len(refused),
        waves(refused, refusal_ms),
        sum(paid[f"item-{number}"] != 1 for number in range(items)),
        tuple(verdict.name for verdict in run.verdicts.values() if verdict.passed is False),
    )


def waves(refused: list[Any], refusal_ms: int) -> int:
    """How many waves the refusals belong to: each is open for a second from when its first was decided."""
    count, ends = 0, -1
    for at in sorted(int(at) - refusal_ms * MILLISECOND for at in refused):
        if at >= ends:
            count, ends = count + 1, at + int(WAVE_SECONDS * SECOND)
    return count


def sleeping(seconds: float) -> Callable[[str], Awaitable[str]]:
    """A call that takes so long and is never refused."""

    async def call(prompt: str) -> str:
        await anyio.sleep(seconds)
        return prompt

    return call


def rows(count: int) -> Iterator[LLMWorkItem[None]]:
    """So many items, made when they are asked for."""
    return (LLMWorkItem(id=str(number), prompt="x") for number in range(count))
