"""Rounds: all that is left is asked for at once, and the next round begins when it may."""

from __future__ import annotations

import anyio

from wavetank import ProviderError, Tank

ROUNDS = 8


async def main(tank: Tank) -> None:
    """Sixteen items to a round; what the last round leaves over is reported as failed."""
    answers: dict[str, str] = {}
    refusals: dict[str, ProviderError] = {}

    async def one(item: str) -> None:
        try:
            answers[item] = (await tank.fake_llm.call(f"Do {item}.", item=item)).text
        except ProviderError as error:
            refusals[item] = error

    items = [f"item-{number}" for number in range(16)]
    for item in items:
        tank.ledger.submit(item)
    for number in range(ROUNDS):
        refusals.clear()
        async with anyio.create_task_group() as group:
            for item in items:
                if item not in answers:
                    group.start_soon(one, item)
        if not refusals:
            break
        await anyio.sleep(max(error.retry_after or 2**number for error in refusals.values()))
    for item in items:
        if item in answers:
            tank.ledger.complete(item, answers[item])
        else:
            tank.ledger.fail(item, refusals[item])
