"""The promises of the shared gate, with its own script in a simulated Redis and replicas that crash."""

from __future__ import annotations

from typing import Any

import pytest

from wavetank import EventLog, Tank, Verdict, search
from wavetank.processor import Limits, LLMWorkItem, ParallelBatchProcessor, SharedLimits

from ...depth import n_of

both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])

RATE = 600
ITEMS = 4
NAMES = ("one", "two")
SECOND = 1_000_000_000
SCHEDULES = n_of(10, 5_000)
MOST_SECONDS = 120
"""Two restarts after 30 s each, and twice what a dead replica may hold back."""


async def replica_main(tank: Tank, items: list[str], done: dict[str, str]) -> None:
    """One process: it does what is left of its items, at the gate that it shares."""

    async def call(prompt: str) -> str:
        return (await tank.fake_llm.call(prompt, item=prompt)).text

    shared = SharedLimits(address="redis://cache.internal:6379", share_of=len(NAMES))
    options: dict[str, Any] = {"workers": 2, "limits": Limits(requests_per_minute=RATE), "shared": shared}
    async with ParallelBatchProcessor(call, **options) as processor:
        left = [LLMWorkItem(id=item, prompt=item) for item in items if item not in done]
        async for result in processor.process(left):
            assert result.value is not None, result
            done[result.id] = result.value
            tank.ledger.complete(result.id, result.value)


def within_the_rate(log: EventLog) -> Verdict:
    """Not more in any stretch than the rate allows: also when a replica has crashed."""
    if any(event.reason == "deadline" for event in log.of("stalled")):
        return Verdict("within_the_rate", None, "the place of the gate seemed to be away")
    sent = sorted(event.sent or event.at for event in log.of("arrived"))
    for first in range(len(sent)):
        for last in range(first + 2, len(sent)):
            allowed = 2 + (sent[last] - sent[first]) * RATE / (60 * SECOND)
            if last - first + 1 > allowed + 1:
                return Verdict(
                    "within_the_rate", False, f"{last - first + 1} from {sent[first]} to {sent[last]} ns"
                )
    return Verdict("within_the_rate", True, f"{len(sent)} request(s)")


class Fleet:
    """Runs of two replicas with a few items each, and how many of their crashes were seen."""

    def __init__(self) -> None:
        self.crashes = 0

    async def __call__(self, tank: Tank) -> None:
        tank.add_redis("cache.internal")
        tank.add_check(within_the_rate)
        tank.max_virtual_seconds = MOST_SECONDS
        done: dict[str, str] = {}
        replicas = [tank.replica(name, crashes=1) for name in NAMES]
        for replica in replicas:
            items = [f"{replica.name}-{number}" for number in range(ITEMS)]
            for item in items:
                tank.ledger.submit(item)
            replica.start(replica_main, tank, items, done)
        for replica in replicas:
            await replica.wait()
        self.crashes += sum(event.action == "crashed" for event in tank.events)
        assert len(done) == ITEMS * len(NAMES)


@both_backends
def test_replicas_keep_the_rate_together_and_a_crash_blocks_nobody(backend: str) -> None:
    """Every item gets its answer once, in time, and no stretch has more requests than the limit allows."""
    fleet = Fleet()

    async def main(tank: Tank) -> None:
        await fleet(tank)

    search(main, schedules=SCHEDULES, backend=backend).check()
    assert fleet.crashes > SCHEDULES // 10
