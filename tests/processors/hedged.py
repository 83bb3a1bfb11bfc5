"""Hedged on purpose: a second request goes out when the first is slow, and both may have to be paid."""

from __future__ import annotations

from itertools import count

import anyio

from wavetank import ProviderError, Tank

PATIENCE = 0.5


async def hedged(tank: Tank, item: str) -> str:
    """The first answer of up to two requests; if both fail, the last error is raised."""
    answers: list[str] = []
    errors: list[ProviderError] = []

    async def ask() -> None:
        try:
            answers.append((await tank.fake_llm.call(f"Do {item}.", item=item)).text)
        except ProviderError as error:
            errors.append(error)
        else:
            group.cancel_scope.cancel()
        first_over.set()

    async with anyio.create_task_group() as group:
        first_over = anyio.Event()
        group.start_soon(ask)
        with anyio.move_on_after(PATIENCE):
            await first_over.wait()
        # A refusal, however late it comes, is no reason to ask again at once.
        if not errors and not answers:
            group.start_soon(ask)
    if answers:
        return answers[0]
    raise errors[-1]


async def main(tank: Tank) -> None:
    """Thirty items by eight workers; each may be paid twice, and no more."""
    tank.expect(paid_per_item=2)
    items = iter([f"item-{number}" for number in range(30)])

    async def work() -> None:
        for item in items:
            tank.ledger.submit(item)
            for attempt in count():
                try:
                    tank.ledger.complete(item, await hedged(tank, item))
                    break
                except ProviderError as error:
                    await anyio.sleep(error.retry_after or min(30.0, 0.5 * 2**attempt))

    async with anyio.create_task_group() as group:
        for _ in range(8):
            group.start_soon(work)
