"""A real event loop for a test that is left out while threads of a wider fixture are alive.

It has real sockets, pipes and subprocesses. Those threads take turns on this thread, so they go on while
the loop waits.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Final, final

from ..clock import SECOND, after_delay, real_now
from .scheduler import Scheduler

_GLANCE: Final = 0.01
"""Real seconds between two looks at the threads, which cannot wake a selector."""


@final
class _SharedSelector(selectors.DefaultSelector):
    """Waits for real input, and lets the threads of the scheduler run and its time pass meanwhile."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        scheduler = self._scheduler
        if not (scheduler.paced and scheduler.on_main_thread()):
            return super().select(timeout)
        end = None if timeout is None else real_now() + after_delay(max(timeout, 0))
        while True:
            scheduler.fire_due()
            while scheduler.run_a_thread():
                pass
            began = real_now()
            left = _GLANCE if end is None else min(_GLANCE, max(0, end - began) / SECOND)
            ready = super().select(left)
            scheduler.timers.advance(scheduler.timers.now() + real_now() - began)
            if ready or (end is not None and real_now() >= end):
                return ready


def real_loop(scheduler: Scheduler) -> asyncio.AbstractEventLoop:
    """A loop of asyncio's own kind that shares its thread with what `scheduler` holds."""
    return asyncio.SelectorEventLoop(_SharedSelector(scheduler))
