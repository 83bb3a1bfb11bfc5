"""A pause is shared as an instant of one machine's clock, and another machine's clock is ahead."""

from __future__ import annotations

import time
from typing import Final

import anyio

from .fleet import NEEDS, by_replicas
from .pause_known_to_one import TWO_SECONDS, SharedPause, work_with_pause
from .specimen import specimen


class _Instant(SharedPause):
    """Says by its own clock when the pause ends."""

    async def enter(self) -> None:
        until = float(await self.redis("GET", "until") or 0)
        await anyio.sleep(max(0.0, until - time.time()))  # noqa: TID251 - the clock is the bug

    async def refused(self, seconds: float) -> None:
        until = time.time() + seconds + 0.001  # noqa: TID251 - the clock is the bug
        await self.redis("SET", "until", repr(until))


SPECIMEN: Final = specimen(
    name="clock_skew",
    row="45",
    kind="S",
    story="A replica that gets a 429 writes to Redis until when all are to wait, by its own clock. The clock "
    "of the other one is three seconds ahead: there the pause is over before it begins.",
    seen="pull request 1688 of spring-cloud-gateway, pull request 56826 of sourcegraph and "
    "pull request 13 of node-ratelimiter",
    run=by_replicas(work_with_pause, workers=1, offsets=(0, 3)),
    variants=(_Instant, SharedPause),
    scenario=TWO_SECONDS,
    check="shared_pause",
    failure="check",
    items=8,
    needs=NEEDS,
)
