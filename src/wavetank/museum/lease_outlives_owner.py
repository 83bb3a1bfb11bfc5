"""A replica takes a lock without an expiry, and crashes: the others wait for it for ever."""

from __future__ import annotations

from typing import Final

import anyio

from .fleet import NEEDS, Redis, by_replicas
from .specimen import specimen

_LEASE: Final = 20_000
"""Milliseconds: far more than a request takes, and far less than the run may."""
_RELEASE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end"


class _Lock:
    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.owner = ""

    async def enter(self) -> None:
        self.owner = f"owner-{await self.redis('INCR', 'owners')}"
        while not await self.take():
            await anyio.sleep(30)

    async def take(self) -> bool:
        return await self.redis("SET", "lock", self.owner, "NX") is not None

    async def leave(self) -> None:
        await self.redis("EVAL", _RELEASE, 1, "lock", self.owner)


class _FixedLock(_Lock):
    """A lease: it ends by itself if it is not given back."""

    async def take(self) -> bool:
        return await self.redis("SET", "lock", self.owner, "NX", "PX", _LEASE) is not None


SPECIMEN: Final = specimen(
    name="lease_outlives_owner",
    row="42",
    kind="H",
    story="A replica takes a lock in Redis that has no expiry, and crashes before it gives it back. Neither "
    "the others nor the replica itself, once it is restarted, ever get the lock again.",
    seen="issue 962 of redis-py and pull request 5 of redis-semaphore",
    run=by_replicas(workers=1, crashes=1),
    variants=(_Lock, _FixedLock),
    scenario="calm",
    check="liveness",
    failure="overrun",
    items=4,
    max_virtual_seconds=200,
    needs=NEEDS,
)
