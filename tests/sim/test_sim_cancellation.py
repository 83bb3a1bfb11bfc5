"""What asyncio, trio and anyio promise about cancellation and callbacks holds in every order."""

from __future__ import annotations

import asyncio
import gc
import math
import sys
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from wavetank.sim.choices import LEVELS, Level
from wavetank.sim.dice import dice
from wavetank.sim.ended import Ended
from wavetank.sim.policies.random import MIXES, Uniform

from ..depth import n_of
from .conftest import Chosen

Main = Callable[[], Coroutine[Any, Any, Any]]

SEEDS = range(n_of(10, 50))
"""Each mix of deviations comes up twice, at each level."""


@contextmanager
def orders(backend: str, level: Level) -> Iterator[Callable[[Main, int], Ended]]:
    """How a program ends in an order that dice of a seed pick."""
    chosen = Chosen(backend)

    def ended(program: Main, seed: int) -> Ended:
        chosen(lambda _: program(), Uniform(dice(seed), MIXES[seed % len(MIXES)], tail=10_000), level)
        return chosen.end

    with chosen.borrowed():
        yield ended


def holds(program: Main, backend: str, level: Level) -> None:
    """Run `program` in many orders; what it asserts holds in all."""
    with orders(backend, level) as ended:
        for seed in SEEDS:
            end = ended(program, seed)
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


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_a_deadline_may_lie_before_all_time(backend: str, level: Level) -> None:
    """A scope that is given the deadline minus infinity is cancelled at its next checkpoint."""

    async def program() -> None:
        async with anyio.create_task_group() as group:
            await noise(group)
            with anyio.CancelScope() as scope:
                scope.deadline = -math.inf
                await anyio.sleep(1)
            assert scope.cancelled_caught

    holds(program, backend, level)


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_plain_callbacks_keep_their_order(level: Level) -> None:
    """`call_soon` is first in, first out in every order, with cancelled scopes among the callbacks."""

    async def program() -> None:
        loop, ran = asyncio.get_running_loop(), list[int]()
        async with anyio.create_task_group() as group:
            await noise(group)
            with anyio.CancelScope() as scope:
                for number in range(10):
                    loop.call_soon(ran.append, number)
                    if number == 3:
                        scope.cancel()
                await anyio.lowlevel.cancel_shielded_checkpoint()
                await anyio.lowlevel.checkpoint()
            while len(ran) < 10:
                await asyncio.sleep(0)
        assert ran == list(range(10))

    holds(program, "asyncio", level)


def eagerly() -> None:
    """Let tasks of the running loop start at once, where Python has that."""
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is not None:
        asyncio.get_running_loop().set_task_factory(factory)


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_stock_cancellation_holds_in_every_order(level: Level, eager: bool) -> None:
    """A cancelled task is thrown the error at its next await, a task group aborts and waits for all, a
    timeout becomes `TimeoutError`, and context variables stay with their task."""
    number_of = ContextVar[int]("number_of")

    async def child(number: int, ended: list[int]) -> None:
        number_of.set(number)
        try:
            await asyncio.sleep(number / 100)
            if number == 3:
                raise ValueError
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0.01)
            assert number_of.get() == number
            ended.append(number)

    async def cancelled() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.sleep(0)
        task.uncancel()

    async def program() -> None:
        if eager:
            eagerly()
        ended: list[int] = []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await asyncio.Event().wait()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(cancelled())
                for number in range(6):
                    group.create_task(child(number, ended))
        except* ValueError:
            ended.append(-1)
        assert ended[-1] == -1
        assert 3 in ended
        assert len(ended) == len(set(ended))
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert number_of.get(None) is None

    holds(program, "asyncio", level)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_async_generators_are_shut_down_in_every_order(backend: str, level: Level) -> None:
    """A generator that is left half way runs its clean-up, awaits included, before the run is over."""
    closed: list[int] = []

    async def numbers(first: int) -> AsyncIterator[int]:
        try:
            for number in range(first, first + 5):
                yield number
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.lowlevel.checkpoint()
            closed.append(first)

    kept: list[AsyncIterator[int]] = []

    async def program() -> None:
        kept[:] = [numbers(first) for first in (1, 2)]
        async with anyio.create_task_group() as group:
            await noise(group)
            for generator in kept:
                assert await anext(generator) > 0

    with orders(backend, level) as ended:
        for seed in range(len(MIXES)):
            closed.clear()
            assert ended(program, seed).how == "returned"
            assert sorted(closed) == [1, 2]


@pytest.mark.parametrize("level", LEVELS, ids=str)
def test_a_task_that_failed_is_freed_at_once(level: Level) -> None:
    """The loop's own frames, which a traceback leads to, do not keep the task whose step they ran."""

    async def program() -> None:
        async def fails() -> None:
            sys._getframe(0).f_back  # noqa: B018 - the frames below become objects, and are kept from Python 3.12 on
            raise ValueError

        asyncio.get_running_loop().set_debug(True)
        task = asyncio.create_task(fails())
        kept = weakref.ref(task)
        with suppress(ValueError):
            await task
        del task
        await asyncio.sleep(0)
        assert kept() is None

    gc.disable()
    try:
        holds(program, "asyncio", level)
    finally:
        gc.enable()
