"""A stateful test of a running processor: items come and are called off, waves start, time goes by."""

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
from .ticks import TICK
from .weather import NAME
from .work import workers
from .world import SCHEDULES, World

_MOST_TICKS = 20


class ProcessorMachine(RuleBasedStateMachine):
    """Rules that make a story for a processor; at its end it is run, under a few schedules, and judged.

    A subclass says how the processor is built (`running`) and given an item (`submit`); its
    `TestCase` is what pytest collects. The steps write the story alone, since the program runs in
    a time of its own: what a step asks for happens at that step's instant.

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

    # -- what a subclass says -----------------------------------------------------------------

    @abstractmethod
    def running(self, tank: Tank) -> AbstractAsyncContextManager[Any]:
        """The processor, running as long as the context is open; `tank.workload.workers` is for it."""
        raise NotImplementedError(
            f"{type(self).__name__} needs running(self, tank): how its processor is built"
        )

    @abstractmethod
    async def submit(self, processor: Any, item: WorkloadItem) -> object:
        """Give the processor an item and wait for its value; what it raises is the item's outcome."""
        raise NotImplementedError(
            f"{type(self).__name__} needs submit(self, processor, item): how an item is given to it"
        )

    # -- the story ------------------------------------------------------------------------------

    @initialize(workers=workers(), latency=st.integers(1, 8))
    def set_up(self, workers: int, latency: int) -> None:
        """The number of workers, and how many ticks an answer takes."""
        self._workers, self._latency = workers, latency

    @rule(target=items)
    def arrive(self) -> str:
        """An item comes."""
        number = len(self._items) + 1
        item = WorkloadItem(id=f"item-{number}", prompt=f"Say {number}.", arrives_at=self._now)
        self._items[item.id] = item
        return item.id

    @rule(item=consumes(items))
    def call_off(self, item: str) -> None:
        """The owner of an item calls it off, unless it is done."""
        was = self._items[item]
        self._items[item] = WorkloadItem(
            id=was.id, prompt=was.prompt, arrives_at=was.arrives_at, cancelled_at=self._now
        )

    @rule(ticks=st.integers(1, _MOST_TICKS))
    def advance(self, ticks: int) -> None:
        """Time goes by."""
        self._ticks += ticks

    @rule(ticks=st.integers(1, _MOST_TICKS), status=st.sampled_from((429, 529)), told=st.booleans())
    def start_wave(self, ticks: int, status: int, told: bool) -> None:
        """From here on requests are refused for a while; refusals may tell when to come back."""
        lasts = self._duration(ticks)
        retry_after = RetryAfter(form="ms", value=lasts) if told else RetryAfter(form="none")
        at = self._duration(self._ticks)
        self._waves.append(Wave(at=at, lasts=lasts, status=status, retry_after=retry_after))

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
        patience = None if item.cancelled_at is None else max(item.cancelled_at - tank.now(), 0)
        with anyio.move_on_after(patience) as scope:
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
