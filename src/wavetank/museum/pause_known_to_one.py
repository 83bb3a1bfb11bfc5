"""A replica that has to wait does not share that, and the other one goes on sending."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import anyio

from ..seams.errors import RateLimited
from .fleet import NEEDS, Redis, Store, by_replicas
from .specimen import specimen
from .workload import ask, scenario_of


class SharedPause:
    """A pause that all replicas keep: the server counts its time."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def enter(self) -> None:
        """Return when no pause is under way."""
        while (left := await self.redis("PTTL", "pause")) > 0:
            await anyio.sleep(left / 1000)

    async def refused(self, seconds: float) -> None:
        """A request was refused for so many seconds."""
        await self.redis("SET", "pause", "1", "PX", round(seconds * 1000) + 1)


class _LocalPause(SharedPause):
    until = 0.0

    async def enter(self) -> None:
        await anyio.sleep(max(0.0, self.until - anyio.current_time()))

    async def refused(self, seconds: float) -> None:
        self.until = anyio.current_time() + seconds


async def work_with_pause(store: Store, pause: SharedPause, items: Iterator[str]) -> None:
    """Ask for one item after the other, each until it is answered."""
    for item in items:
        while True:
            await pause.enter()
            try:
                store.keep(item, await ask(store.tank, item))
                break
            except RateLimited as refusal:
                await pause.refused(refusal.retry_after or 1)


TWO_SECONDS: Final = scenario_of(
    "two-seconds",
    {"at": "300ms", "lasts": "2s", "retry_after": "2s"},
    latency={"first_token": "100ms..300ms", "refusal": "10ms"},
)

SPECIMEN: Final = specimen(
    name="pause_known_to_one",
    row="44",
    kind="S",
    story="A replica that gets a 429 pauses until its Retry-After is over. The pause is kept in the memory "
    "of that process, so the other replica sends into it.",
    seen="issue 871 and pull request 40025 of litellm",
    run=by_replicas(work_with_pause, workers=1),
    variants=(_LocalPause, SharedPause),
    scenario=TWO_SECONDS,
    check="shared_pause",
    failure="check",
    items=8,
    needs=NEEDS,
)
