"""Runs to draw, made once for all tests of the reports."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

import wavetank
from wavetank import Tank
from wavetank.museum import SPECIMENS
from wavetank.tank.runs.finished_run import Run


def failure_of(name: str) -> Run[Any]:
    """The shrunk failure of a specimen of the museum."""
    failure = SPECIMENS[name].search(schedules=300).failure
    assert failure is not None
    return failure


async def hammer(tank: Tank) -> None:
    """Sixteen workers and 200 items; a refused worker waits as long as its own refusal asks for."""
    items = [f"item-{number}" for number in range(1, 201)]
    for item in items:
        tank.ledger.submit(item)
    left = iter(items)

    async def work() -> None:
        for item in left:
            while True:
                try:
                    answer = await tank.fake_llm.call(f"Do {item}.", item=item)
                    break
                except wavetank.RateLimited as refusal:
                    await anyio.sleep(refusal.retry_after or 1)
            tank.ledger.complete(item, answer.text)

    async with anyio.create_task_group() as group:
        for _ in range(16):
            group.start_soon(work)


@pytest.fixture(scope="session")
def lost_wakeup() -> Run[Any]:
    """A deadlock that takes three reorderings and a stall, with the neighbour that passes."""
    return failure_of("lost_wakeup")


@pytest.fixture(scope="session")
def second_wave() -> Run[Any]:
    """A storm: 199 requests are sent while the provider asks the account to wait."""
    return failure_of("second_wave")


@pytest.fixture(scope="session")
def hammered() -> Run[Any]:
    """A run of the scenario cascade, with more than 300 requests."""
    return wavetank.simulate(hammer, "cascade")
