"""A counter gets its expiry in a second command, and a crash in between lets it count for ever."""

from __future__ import annotations

from typing import Final

import anyio

from .fleet import NEEDS, Redis, by_replicas
from .specimen import specimen

_LIMIT: Final = 2
_WINDOW: Final = 1000
"""Milliseconds."""
_COUNT: Final = """
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return n
"""


class _Window:
    """So many requests in each window, which begins with the first of them."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def enter(self) -> None:
        while await self.count() > _LIMIT:
            left = await self.redis("PTTL", "window")
            await anyio.sleep(left / 1000 if left > 0 else 30)

    async def count(self) -> int:
        number = int(await self.redis("INCR", "window"))
        if number == 1:
            await self.redis("PEXPIRE", "window", _WINDOW)
        return number

    async def leave(self) -> None:
        """What has been counted stays."""


class _FixedWindow(_Window):
    async def count(self) -> int:
        return int(await self.redis("EVAL", _COUNT, 1, "window", _WINDOW))


SPECIMEN: Final = specimen(
    name="incr_without_expire",
    row="43",
    kind="H",
    story="The first request of a window increments a counter and then sets its expiry. A crash between the "
    "two commands leaves a counter that never expires, and once it is above the limit no replica sends "
    "anything any more.",
    seen="issue 14 of limits, issue 1 of redis-rate-limiter and issue 4548 of redis",
    run=by_replicas(workers=1, crashes=1),
    variants=(_Window, _FixedWindow),
    scenario="calm",
    check="liveness",
    failure="overrun",
    items=6,
    max_virtual_seconds=200,
    needs=NEEDS,
)
