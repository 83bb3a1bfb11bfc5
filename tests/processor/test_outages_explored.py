"""Outages under the explorer: in many orders, on both backends, with every check on."""

from __future__ import annotations

from typing import Any

import pytest

import wavetank
from wavetank import Tank
from wavetank.clock import Duration
from wavetank.fault_kinds import FaultKind
from wavetank.processor import LLMCallStrategy, LLMWorkItem, ParallelBatchProcessor
from wavetank.scenario import DurationRange, Fault, Latency, Match, Scenario

from ..depth import by_turns, n_of

SCHEDULES = n_of(4, 1000)
IDS = [f"item-{number}" for number in range(40)]
WORKERS = 10


def seconds(value: float) -> Duration:
    return Duration(round(value * 1e9))


def away(kind: FaultKind, at: float, lasts: float, *, every: float | None = None) -> Scenario:
    """A provider that is away for a time, once or again and again; its answers take half a second."""
    again = None if every is None else seconds(every)
    return Scenario(
        latency=Latency(first_token=DurationRange(seconds(0.4), seconds(0.6))),
        fault=(Fault(kind=kind, at=seconds(at), lasts=seconds(lasts), every=again),),
    )


# The forty answers take at least 1.6 s. After 1 s at least ten items are open, whatever a schedule does: the
# processor would take the failures of the last item alone for that item's own.
WORLDS = {
    "refused from the start": away("connection-refused", 0, 30),
    "refused in the middle": away("connection-refused", 1, 30),
    "refused again and again": away("connection-refused", 1, 3, every=6),
    "no answer": away("no-answer", 1, 30),
    "reset": away("reset", 1, 30),
    "a gateway's page": away("html-body", 1, 30),
    "cut in the middle": away("cut-mid-stream", 0, 20),
    "refused at the end": away("connection-refused", 2, 30),
}


async def process(tank: Tank, processor: ParallelBatchProcessor[str]) -> None:
    """Process all items, and enter in the ledger what came of them."""
    for name in IDS:
        tank.ledger.submit(name)
        await processor.add_work(LLMWorkItem(name, name))
    for result in (await processor.process_all()).results:
        if result.error is None:
            tank.ledger.complete(result.id, result.value)
        else:
            tank.ledger.fail(result.id, result.error)


async def program(tank: Tank) -> None:
    """Forty items by ten workers; each may fail only once for itself."""
    tank.expect(in_flight=WORKERS, failed=0, completed=len(IDS))

    async def ask(prompt: str) -> str:
        return (await tank.fake_llm.call(f"Do {prompt}.", item=prompt)).text

    async with ParallelBatchProcessor(ask, workers=WORKERS, max_attempts=2, request_seconds=5) as processor:
        await process(tank, processor)


@by_turns(world=[*WORLDS], backend=["asyncio", "trio"])
def test_no_order_of_steps_loses_an_item_in_an_outage(world: str, backend: str) -> None:
    """Every item is answered once, without a storm or a herd after it, in every schedule."""
    result = wavetank.search(
        program, WORLDS[world], schedules=SCHEDULES, backend=backend, checks="strict", max_virtual_seconds=900
    )
    result.check()
    assert result.schedules == SCHEDULES


class FakeModel(LLMCallStrategy[str]):
    """One model of the fake provider, with a gate of its own."""

    def __init__(self, tank: Tank, model: str) -> None:
        self.tank = tank
        self.model = model
        self.scope = model

    async def execute(self, item: LLMWorkItem[Any]) -> str:
        return (await self.tank.fake_llm.call(f"Do {item.id}.", item=item.id, model=self.model)).text


async def with_fallback(tank: Tank) -> None:
    """The first model goes away and comes back; the second one answers meanwhile."""
    tank.expect(in_flight=WORKERS, failed=0, completed=len(IDS), within="25s")
    first, second = FakeModel(tank, "first"), FakeModel(tank, "second")
    async with ParallelBatchProcessor(first, workers=WORKERS, fallbacks=[second]) as processor:
        await process(tank, processor)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_order_of_steps_keeps_an_item_from_the_fallback(backend: str) -> None:
    """While the first model is away for 100 s, all are answered by the other one within seconds, once."""
    fault = Fault(kind="reset", at=seconds(1), lasts=seconds(100), match=Match(model="first"))
    world = Scenario(latency=away("reset", 0, 1).latency, fault=(fault,))
    result = wavetank.search(
        with_fallback, world, schedules=SCHEDULES, backend=backend, checks="strict", max_virtual_seconds=900
    )
    result.check()
