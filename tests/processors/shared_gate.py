"""A shared gate: one refusal holds everybody, and those it held come back one after another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from wavetank import ProviderError, Tank

from .gate import Gate

Ask = Callable[[str], Awaitable[str]]
"""One request for an item; raises `ProviderError` when it is refused or fails."""

PERMITS = 10


async def process(tank: Tank, ask: Ask, *, count: int) -> None:
    """So many items, ten of them under way at any instant."""
    gate, permits = Gate(), anyio.CapacityLimiter(PERMITS)
    tank.watch("permits", lambda: permits.borrowed_tokens)
    # Where no wait is stated ten workers ask in turns, every half minute: a quarter of an hour takes 30
    # requests, and orders are not always fair.
    tank.expect(in_flight=PERMITS, requests_per_item=12, herd=0.25)

    async def one(item: str) -> None:
        async with permits:
            while True:
                pause = await gate.enter()
                try:
                    answer = await ask(item)
                except ProviderError as error:
                    gate.refused(pause, error.retry_after)
                else:
                    gate.passed(pause)
                    return tank.ledger.complete(item, answer)

    async with anyio.create_task_group() as group:
        for item in [f"item-{number}" for number in range(count)]:
            tank.ledger.submit(item)
            group.start_soon(one, item)


async def main(tank: Tank) -> None:
    """Forty items at the direct seam."""

    async def ask(item: str) -> str:
        return (await tank.fake_llm.call(f"Do {item}.", item=item)).text

    await process(tank, ask, count=40)
