"""Each replica counts what is in flight in Redis, and decides by what it read there some time ago."""

from __future__ import annotations

from typing import Final

import anyio

from .fleet import NEEDS, Redis, by_replicas
from .specimen import specimen
from .workload import scenario_of

_LIMIT: Final = 2
_REFRESH: Final = 1.0
_TAKE: Final = """
if tonumber(redis.call('GET', KEYS[1]) or 0) >= tonumber(ARGV[1]) then return 0 end
return redis.call('INCR', KEYS[1])
"""


class _Gate:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.seen = 0
        self.read_at = -_REFRESH

    async def enter(self) -> None:
        while not await self.take():
            await anyio.sleep(0.3)

    async def take(self) -> bool:
        if anyio.current_time() >= self.read_at + _REFRESH:
            self.read_at = anyio.current_time()
            self.seen = int(await self.redis("GET", "busy") or 0)
        if self.seen >= _LIMIT:
            return False
        self.seen += 1
        await self.redis("INCR", "busy")
        return True

    async def leave(self) -> None:
        self.seen -= 1
        await self.redis("DECR", "busy")


class _FixedGate(_Gate):
    """Decides where the count is."""

    async def take(self) -> bool:
        return bool(await self.redis("EVAL", _TAKE, 1, "busy", _LIMIT))


SPECIMEN: Final = specimen(
    name="local_reads_shared_writes",
    row="40",
    kind="S",
    story="Replicas count in Redis what is in flight, but decide by a copy of their own that is "
    "refreshed once a second. Each of them sees only its own requests in between, and together they have "
    "more in flight than the limit allows.",
    seen="pull request 34836 of litellm: the key in Redis is right, and the copy in memory decides",
    run=by_replicas(),
    variants=(_Gate, _FixedGate),
    expect={"in_flight": _LIMIT},
    scenario=scenario_of("slow-answers", latency={"first_token": "300ms..500ms"}),
    check="in_flight_limit",
    failure="check",
    items=6,
    needs=NEEDS,
)
