"""The garbage collector does not strike in the middle of a run."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest

import wavetank
from wavetank.patches.garbage import RUNS_PER_LARGER_COLLECTION, collector_at_rest
from wavetank.tank.virtual_world import IDLE_TIMES_PER_COLLECTION

pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
both_backends = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture
def thresholds() -> Iterator[tuple[int, ...]]:
    """Ways to let the collector strike at other places."""
    before = gc.get_threshold()
    yield (50, 211, 700, 5000)
    gc.set_threshold(*before)


async def leave_a_generator(closed: list[float]) -> None:
    """Leave an async generator half-way, in a cycle that only the collector finds."""

    async def parts() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append(anyio.current_time())
            await anyio.sleep(0)

    generator = parts()
    async for _ in generator:
        cycle: list[Any] = [generator]
        cycle.append(cycle)
        break


@both_backends
def test_when_garbage_is_collected_makes_no_difference(backend: str, thresholds: tuple[int, ...]) -> None:
    """Generators that wait for the collector cost the run the same steps, whenever it would strike."""

    async def main(tank: wavetank.Tank) -> None:
        for number in range(200):
            await leave_a_generator([])
            await tank.fake_llm.call("hi", item=f"item-{number}")

    logs = set()
    for threshold in thresholds:
        gc.set_threshold(threshold)
        run = wavetank.simulate(main, backend=backend)
        assert run.error is None
        logs.add(run.events.to_ndjson())
    assert len(logs) == 1


@both_backends
def test_a_long_run_does_not_drown_in_garbage(backend: str) -> None:
    """Every so often the run collects by itself, at the same place each time, and goes on."""

    async def main(tank: wavetank.Tank) -> tuple[list[float], float]:
        closed: list[float] = []
        await leave_a_generator(closed)
        for _ in range(IDLE_TIMES_PER_COLLECTION + 100):
            await anyio.sleep(1)
        return list(closed), tank.now()

    values = [wavetank.simulate(main, backend=backend).value for _ in range(2)]
    assert values[0] == values[1]
    assert values[0] is not None
    assert len(values[0][0]) == 1
    assert values[0][1] == IDLE_TIMES_PER_COLLECTION + 100


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_given_back(was_on: bool) -> None:
    """It is off inside, and after the block, also one that raised, as it was before."""
    if not was_on:
        gc.disable()
    try:
        with collector_at_rest():
            assert not gc.isenabled()
        with pytest.raises(ValueError, match="mine"), collector_at_rest():
            raise ValueError("mine")
        assert gc.isenabled() is was_on
    finally:
        gc.enable()


class Left:
    """Something in a cycle, which only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


def test_the_garbage_of_many_short_searches_does_not_add_up() -> None:
    """What grows old in a search that is too short to collect it is collected in a later one."""
    newest: list[Left] = []

    async def main(_: wavetank.Tank) -> None:
        newest[:] = [Left()]

    was_on = gc.isenabled()
    gc.disable()
    try:
        for _ in range(12):
            wavetank.search(main, schedules=20, policy="random")
        # Of the last runs some may have grown too old for the collection that came last.
        left = sum(isinstance(thing, Left) for thing in gc.get_objects())
        assert left < RUNS_PER_LARGER_COLLECTION + 20
    finally:
        if was_on:
            gc.enable()
