"""The reference processor under the whole catalogue, in many orders, with every check on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

import wavetank
from wavetank import Tank
from wavetank.processor import ItemResult, LLMWorkItem, ParallelBatchProcessor
from wavetank.scenario import catalogue

from ..depth import in_turn, n_of

SCHEDULES = n_of(2, 300)
ITEMS = [LLMWorkItem(id=f"item-{number}", prompt=f"item-{number}") for number in range(40)]
WORKERS = 10


def asking(tank: Tank) -> Callable[[str], Awaitable[str]]:
    """A call at the direct seam, with all that is asked of the processor declared.

    An item may be the probe of every pause, and be refused each time: where waves come again, or
    where the schedule chooses whom they meet, that may be two or three times in each of four.
    """
    often = any(wave.share < 1 or wave.every for wave in tank.scenario.wave)
    tank.expect(in_flight=WORKERS, requests_per_item=12 if often else 6, herd=0.25, order="input")

    async def ask(prompt: str) -> str:
        return (await tank.fake_llm.call(f"Do {prompt}.", item=prompt)).text

    return ask


def outcome(tank: Tank, result: ItemResult[str]) -> None:
    """Enter a result in the ledger."""
    if result.error is None:
        tank.ledger.complete(result.id, result.value)
    else:
        tank.ledger.fail(result.id, result.error)


async def batch(tank: Tank) -> None:
    """Forty items by ten workers, as one batch."""
    async with ParallelBatchProcessor(asking(tank), workers=WORKERS) as processor:
        for item in ITEMS:
            tank.ledger.submit(item.id)
            await processor.add_work(item)
        for result in (await processor.process_all()).results:
            outcome(tank, result)


async def stream(tank: Tank) -> None:
    """The same as a stream in the order of the input, of which twelve are held at most."""
    async with ParallelBatchProcessor(
        asking(tank), workers=WORKERS, order="input", batch_size=12
    ) as processor:
        for item in ITEMS:
            tank.ledger.submit(item.id)
        async for result in processor.process(ITEMS):
            outcome(tank, result)


@pytest.mark.parametrize(
    ("program", "scenario", "backend"),
    [
        pytest.param(program, scenario, backend, id=f"{program.__name__}-{scenario}-{backend}")
        for number, scenario in enumerate(catalogue())
        for program in in_turn(number, (batch, stream))
        for backend in in_turn(number // 2, ("asyncio", "trio"))
    ],
)
def test_the_reference_processor_passes_every_check(
    program: Callable[[Tank], Awaitable[None]], scenario: str, backend: str
) -> None:
    """Nothing is lost or paid twice, none hangs, no storm comes, and the order is kept, in every schedule."""
    result = wavetank.search(program, scenario, schedules=SCHEDULES, backend=backend, checks="strict")
    result.check()
    assert result.schedules == SCHEDULES
