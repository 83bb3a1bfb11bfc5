"""The machine's own time on one asyncio loop: timers without a thread, and plain events."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import final

from ..clock import Timer, real_now, to_seconds
from .waiting import AsyncEvent, BlockingEvent


@final
class LoopClock:
    """The machine's clock from its start on; it implements `Clock`, and callbacks come on the running loop.

    Until it is started it stands at 0, and timers come as much later as they are asked for.
    """

    def __init__(self, *, running: bool = True) -> None:
        self._start = real_now() if running else None
        self._loop = asyncio.get_running_loop()

    @property
    def running(self) -> bool:
        """Whether it has been started."""
        return self._start is not None

    def start(self) -> None:
        """Let time begin, at 0."""
        self._start = real_now()

    def now(self) -> int:
        return 0 if self._start is None else real_now() - self._start

    def call_at(self, when: int, callback: Callable[[], object]) -> Timer:
        delay = when - self.now()
        if delay <= 0:
            return self._loop.call_soon(callback)
        return self._loop.call_later(to_seconds(delay), callback)


@final
class LoopWaits:
    """Events for the tasks of the one loop."""

    def event(self) -> AsyncEvent:
        return asyncio.Event()

    def blocking_event(self) -> BlockingEvent:
        raise RuntimeError("a thread must not wait for a clock that runs on this loop")

    def is_virtual_here(self) -> bool:
        return False
