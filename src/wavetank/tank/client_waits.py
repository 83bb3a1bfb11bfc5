"""What clients of the fake wait on in virtual time: one event for tasks, another for plain threads."""

from __future__ import annotations

import asyncio
import sys
from typing import final

from ..clock import after_delay
from ..seams.waiting import AsyncEvent, BlockingEvent
from ..sim.run_threads import RunThread
from ..sim.scheduler import Scheduler


@final
class VirtualWaits:
    """Events in the time of one scheduler: all of its threads take turns, so plain ones will do."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def event(self) -> AsyncEvent:
        trio = sys.modules.get("trio")
        if trio is not None and trio.lowlevel.in_trio_task():
            event: AsyncEvent = trio.Event()
            return event
        return LoopEvent()

    def blocking_event(self) -> BlockingEvent:
        return RunEvent(self._scheduler)

    def is_virtual_here(self) -> bool:
        return self._scheduler.is_virtual_here()


@final
class LoopEvent:
    """As `asyncio.Event`, for one waiter: a plain future, which costs less."""

    __slots__ = ("_future",)

    def __init__(self) -> None:
        self._future = asyncio.get_running_loop().create_future()

    def set(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        return self._future


@final
class RunEvent:
    """As `threading.Event`, for one thread of the run, in virtual time."""

    __slots__ = ("_scheduler", "_set", "_waiting")

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._set = False
        self._waiting: RunThread | None = None

    def set(self) -> None:
        self._set = True
        if self._waiting is not None:
            self._scheduler.wake(self._waiting)

    def wait(self, timeout: float | None = None) -> bool:
        """Block until it is set; False when `timeout` seconds passed first."""
        until = None if timeout is None else self._scheduler.timers.now() + after_delay(timeout)
        self._waiting = self._scheduler.here()
        try:
            return self._set or self._scheduler.wait("an answer of the fake", until=until) or self._set
        finally:
            self._waiting = None
