"""What asyncio, trio and anyio promise about cancellation and callbacks holds in every order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wavetank.patches.trio_hooks import trio_threads
from wavetank.patches.virtual import virtual_process
from wavetank.sim.asyncio_run import run_asyncio
from wavetank.sim.choices import LEVELS, Level
from wavetank.sim.dice import dice
from wavetank.sim.ended import Ended
from wavetank.sim.host import Host
from wavetank.sim.policies.random import MIXES, Uniform
from wavetank.sim.timeline import Timeline
from wavetank.sim.trio_run import run_trio

SEEDS = range(25)


def ended(program: Callable[[], Coroutine[Any, Any, Any]], backend: str, level: Level, seed: int) -> Ended:
    """How `program` ends in an order that dice pick."""
    timeline = Timeline()
    host = Host(timeline)
    chooser = Uniform(dice(seed), MIXES[seed % len(MIXES)], tail=10_000)
    host.renew(timeline, chooser=chooser, level=level)
    engine = run_asyncio if backend == "asyncio" else run_trio
    with virtual_process(host), trio_threads(host):
        try:
            return engine(program, host, started=lambda _: None, ended=lambda _: None)
        finally:
            host.close()


def holds(program: Callable[[], Coroutine[Any, Any, Any]], backend: str, level: Level) -> None:
    """Run `program` in many orders; what it asserts holds in all."""
    for seed in SEEDS:
        end = ended(program, backend, level, seed)
        if end.error is not None:
            raise end.error
        assert end.how == "returned", end.blocked


async def noise(group: anyio.abc.TaskGroup) -> None:
    """Tasks that are ready most of the time."""

    async def busy() -> None:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()

    for _ in range(4):
        group.start_soon(busy)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_the_next_checkpoint_of_a_cancelled_scope_raises(backend: str, level: Level) -> None:
    """No order lets a task get past a checkpoint of anyio in a scope that was cancelled before."""

    async def program() -> None:
        async with anyio.create_task_group() as group:
            await noise(group)
            with anyio.CancelScope() as scope:
                scope.cancel()
                for _ in range(3):
                    with pytest.raises(anyio.get_cancelled_exc_class()):
                        await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
            assert scope.cancelled_caught

    holds(program, backend, level)
