"""A permit is looked for in one command and taken in the next, and another replica comes in between."""

from __future__ import annotations

from typing import Final

import anyio

from .fleet import NEEDS, Redis, by_replicas
from .specimen import specimen
from .workload import scenario_of

_LIMIT: Final = 2


class _Gate:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def enter(self) -> None:
        while not await self.take():
            await anyio.sleep(0.3)

    async def take(self) -> bool:
        if int(await self.redis("GET", "busy") or 0) >= _LIMIT:
            return False
        await self.redis("INCR", "busy")
        return True

    async def leave(self) -> None:
        await self.redis("DECR", "busy")


class _FixedGate(_Gate):
    """Takes first: the reply says whether it was one too many, which is then given back."""

    async def take(self) -> bool:
        if await self.redis("INCR", "busy") <= _LIMIT:
            return True
        await self.redis("DECR", "busy")
        return False


SPECIMEN: Final = specimen(
    name="check_then_act",
    row="41",
    kind="S",
    story="A limiter reads the count from Redis and increments it in a second round trip. Two replicas read "
    "the same count before either has written, and both send: more requests are in flight than the limit "
    "allows.",
    seen="issue 16 of actix-ratelimit, issue 7780 of boulder and issue 6 of node-ratelimiter",
    run=by_replicas(),
    variants=(_Gate, _FixedGate),
    expect={"in_flight": _LIMIT},
    scenario=scenario_of("slow-answers", latency={"first_token": "300ms..500ms"}),
    check="in_flight_limit",
    failure="check",
    items=6,
    needs=NEEDS,
)
