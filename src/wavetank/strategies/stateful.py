"""A stateful test of a running processor: items arrive and are cancelled, waves start, time passes."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import anyio
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from ..clock import Duration, after_delay
from ..scenario import DurationRange, Latency, RetryAfter, Scenario, Wave
from ..tank.tank import Tank
from ..tank.workload import Workload, WorkloadItem
from .scenarios import NAME
from .ticks import TICK
from .workloads import workers
from .worlds import SCHEDULES, World

_MOST_TICKS = 20
"""Of one step: a second with the default tick."""
_LONGEST_ANSWER = 8
"""Ticks of an answer: longer than many pauses between two steps, so that answers overlap waves."""


class ProcessorMachine(RuleBasedStateMachine):
    """Rules that make a story for a processor; at its end the story is run under a few schedules and judged.

    A subclass defines how the processor is built (`running`) and how it is given an item (`submit`);
    pytest collects its `TestCase`. The steps only write the story: the program runs afterwards, in
    virtual time, and the effect of each step happens at the instant of that step.

    `schedules`, `backend`, `checks` and `seed` are those of the search; `tick` is in seconds.
    """

    schedules: ClassVar[int] = SCHEDULES
    backend: ClassVar[str] = "asyncio"
    checks: ClassVar[str] = "default"
    seed: ClassVar[int] = 0
    tick: ClassVar[float] = TICK

    items: Bundle[str] = Bundle("items")

    def __init__(self) -> None:
        super().__init__()
        self._ticks = 0
        self._workers = 1
        self._latency = 1
        self._items: dict[str, WorkloadItem] = {}
        self._waves: list[Wave] = []

    # -- what a subclass defines --------------------------------------------------------------

    @abstractmethod
    def running(self, tank: Tank) -> AbstractAsyncContextManager[Any]:
        """The processor, running as long as the context is open; `tank.workload.workers` is for it."""
        raise NotImplementedError(
            f"{type(self).__name__} needs running(self, tank): how its processor is built"
        )

    @abstractmethod
    async def submit(self, processor: Any, item: WorkloadItem) -> object:
        """Give the processor an item and wait for its value; an exception fails the item."""
        raise NotImplementedError(
            f"{type(self).__name__} needs submit(self, processor, item): how an item is given to it"
        )

    # -- the story ------------------------------------------------------------------------------

    @initialize(workers=workers(), latency=st.integers(1, _LONGEST_ANSWER))
    def set_up(self, workers: int, latency: int) -> None:
        """The number of workers, and how many ticks an answer takes."""
        self._workers, self._latency = workers, latency

    @rule(target=items)
    def arrive(self) -> str:
        """An item arrives."""
        number = len(self._items) + 1
        item = WorkloadItem(id=f"item-{number}", prompt=f"Say {number}.", arrives_at=self._now)
        self._items[item.id] = item
        return item.id

    @rule(item=consumes(items))
    def cancel(self, item: str) -> None:
        """An item is cancelled, unless it has an outcome already."""
        arrived = self._items[item]
        self._items[item] = WorkloadItem(
            id=arrived.id, prompt=arrived.prompt, arrives_at=arrived.arrives_at, cancelled_at=self._now
        )

    @rule(ticks=st.integers(1, _MOST_TICKS))
    def advance(self, ticks: int) -> None:
        """Time passes."""
        self._ticks += ticks

    @rule(ticks=st.integers(1, _MOST_TICKS), status=st.sampled_from((429, 529)), retry_after=st.booleans())
    def start_wave(self, ticks: int, status: int, retry_after: bool) -> None:
        """From now on requests are refused for a while, with or without a Retry-After."""
        lasts = self._duration(ticks)
        stated = RetryAfter(form="ms", value=lasts) if retry_after else RetryAfter(form="none")
        at = self._duration(self._ticks)
        self._waves.append(Wave(at=at, lasts=lasts, status=status, retry_after=stated))

    # -- its end --------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Run the story and judge it.

        Raises:
            CheckFailed: a check failed.
            BaseException: the processor raised it.
        """
        __tracebackhide__ = True
        if self._items:
            self.world().run(self.main, schedules=self.schedules, checks=self.checks)

    def world(self) -> World:
        """The story so far, as a world."""
        latency, refusal = self._duration(self._latency), self._duration(1)
        scenario = Scenario(
            name=NAME,
            latency=Latency(
                first_token=DurationRange(latency, latency), refusal=DurationRange(refusal, refusal)
            ),
            wave=tuple(self._waves),
        )
        workload = Workload(items=tuple(self._items.values()), workers=self._workers)
        return World(scenario, workload, seed=self.seed, backend=self.backend)

    async def main(self, tank: Tank) -> None:
        """The program: a processor, and a task for each item of the workload."""
        assert tank.workload is not None
        async with self.running(tank) as processor, anyio.create_task_group() as group:
            for item in tank.workload.items:
                group.start_soon(self._follow, tank, processor, item)

    async def _follow(self, tank: Tank, processor: Any, item: WorkloadItem) -> None:
        await anyio.sleep(max(item.arrives_at - tank.now(), 0))
        tank.ledger.submit(item.id)
        seconds = None if item.cancelled_at is None else max(item.cancelled_at - tank.now(), 0)
        with anyio.move_on_after(seconds) as scope:
            try:
                value = await self.submit(processor, item)
            except Exception as error:
                tank.ledger.fail(item.id, error)
            else:
                tank.ledger.complete(item.id, value)
        if scope.cancelled_caught:
            tank.ledger.cancel(item.id)

    @property
    def _now(self) -> float:
        return round(self._ticks * self.tick, 9)

    def _duration(self, ticks: int) -> Duration:
        return Duration(ticks * after_delay(self.tick))
