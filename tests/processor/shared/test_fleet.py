"""The shared gate in a simulated fleet: replicas that crash and are paused, over a simulated Redis."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import Any

import anyio
import pytest

import wavetank
from wavetank.processor import CallResult, Limits, LLMWorkItem, ParallelBatchProcessor, SharedLimits
from wavetank.processor.shared.link import LEASE_SECONDS
from wavetank.scenario import parse_scenario

SCENARIO = """
[latency]
first_token = "100ms"

[limits]
requests_per_minute = 600
"""
WORLD = parse_scenario(SCENARIO, name="shared", source="shared.toml")
ITEMS = 6
SCHEDULES = 6
NAMES = ("one", "two", "three")
SHARED = SharedLimits(address="redis://cache.internal:6379", share_of=len(NAMES))


async def work(tank: Any, name: str) -> None:
    """One process: it sends its items through the shared gate."""

    async def call(prompt: str) -> CallResult[str]:
        answer = await tank.fake_llm.call(prompt, item=prompt)
        return CallResult(answer.text)

    limits = Limits(requests_per_minute=600)
    async with ParallelBatchProcessor(call, workers=3, shared=SHARED, limits=limits) as processor:
        for number in range(ITEMS):
            await processor.add_work(LLMWorkItem(id=f"{name}-{number}", prompt=f"{name}-{number}"))
        batch = await processor.process_all()
    for result in batch.results:
        assert result.error is None, result
        tank.ledger.complete(result.id, result.value)


async def fleet(tank: Any, **choices: int) -> None:
    """Three replicas that share one limit."""
    tank.add_redis("cache.internal")
    replicas = [tank.replica(name, **choices) for name in NAMES]
    for replica in replicas:
        for number in range(ITEMS):
            tank.ledger.submit(f"{replica.name}-{number}")
        replica.start(work, tank, replica.name)
    for replica in replicas:
        await replica.wait()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_fleet_keeps_one_limit(backend: str) -> None:
    """Nothing is refused, and the requests are a tenth of a second apart from the first on."""
    run = wavetank.simulate(fleet, WORLD, backend=backend)
    run.check()
    sent = [event.at for event in run.events.of("arrived")]
    assert len(sent) == len(NAMES) * ITEMS
    assert not run.events.of("refused")
    assert (sent[-1] - sent[0]) / 1e9 == pytest.approx(0.1 * (len(sent) - 1), rel=0.1)


async def checked_fleet(tank: Any, **choices: Any) -> None:
    """A fleet in which replicas crash or stop for a while, and what must hold all the same."""
    tank.add_redis("cache.internal")
    replicas = [tank.replica(name, **choices) for name in NAMES]
    for replica in replicas:
        replica.start(work, tank, replica.name)
    ended = list[str]()

    async def wait(replica: Any) -> None:
        with suppress(wavetank.ReplicaCrashed):
            await replica.wait()
            ended.append(replica.name)

    async with anyio.create_task_group() as group:
        for replica in replicas:
            group.start_soon(wait, replica)
    requests = list(tank.fake_llm.requests)
    assert sum(request.status == 429 for request in requests) <= 2, "refused"
    answered = {request.item for request in requests if request.status == 200}
    assert {f"{name}-{number}" for name in ended for number in range(ITEMS)} <= answered, "lost"
    reached = sorted(request.reached for request in requests if request.reached is not None)
    longest = max((later - earlier for earlier, later in pairwise(reached)), default=0.0)
    assert longest <= LEASE_SECONDS + LONGEST_STOP, f"nobody sent anything for {longest} s"


LONGEST_STOP = 0.5
"""What a call and a slot take at most beside the lease."""


async def crashing(tank: Any) -> None:
    """Each replica may be killed once, at any await."""
    await checked_fleet(tank, crashes=1, restarts=False)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_no_crash_blocks_the_fleet_longer_than_a_lease(backend: str) -> None:
    """Whenever replicas are killed: the others are answered, nearly nothing is refused, and nobody waits."""
    result = wavetank.search(crashing, scenario=WORLD, schedules=SCHEDULES, backend=backend)
    assert result.failure is None, result.failure.report()
