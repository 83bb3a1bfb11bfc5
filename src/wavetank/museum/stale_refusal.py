"""A late refusal is taken for a new one and opens another, longer cooldown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from ..tank.tank import Tank
from .specimen import specimen
from .workload import ask, scenario_of, with_workers

_WORKERS: Final = 8


class _Cooldowns:
    def __init__(self) -> None:
        self.generation = 0
        self.until = 0.0
        self.seconds = 1.0

    async def enter(self) -> int:
        while (left := self.until - anyio.current_time()) > 0:
            await anyio.sleep(left)
        return self.generation

    def refused(self, generation: int) -> None:
        if generation == self.generation:
            self.generation += 1
            self.until = anyio.current_time() + self.seconds
            self.seconds *= 2


async def _run(tank: Tank, items: list[str], numbered_late: bool) -> None:
    cooldowns = _Cooldowns()

    async def work(items: Iterator[str]) -> None:
        for item in items:
            while True:
                generation = await cooldowns.enter()
                try:
                    tank.ledger.complete(item, await ask(tank, item))
                    break
                except RateLimited:
                    cooldowns.refused(cooldowns.generation if numbered_late else generation)

    await with_workers(_WORKERS, work, iter(items))


SPECIMEN: Final = specimen(
    name="stale_refusal",
    row="4",
    kind="S",
    story="Cooldowns are numbered, so that one wave opens one. The number is read when the refusal arrives "
    "and not when its request was sent, so each of eight refusals opens a cooldown, twice as long.",
    seen="async-batch-llm up to 0.25; the same class as pull request 11579 of Envoy",
    run=_run,
    variants=(True, False),
    scenario=scenario_of(
        "one-wave-many-refusals",
        {"at": "0s", "lasts": "500ms", "retry_after": "1s"},
        latency={"first_token": "50ms..200ms", "refusal": "10ms..300ms"},
    ),
    check="liveness",
    failure="overrun",
    items=12,
    max_virtual_seconds=60,
)
