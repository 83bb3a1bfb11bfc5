"""A real event loop for a test that is left out while threads of a wider fixture are alive.

It has real sockets, pipes and subprocesses. Those threads take turns on this thread, so they go on while
the loop waits.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Final, final

from ..clock import SECOND, after_delay, real_now
from .host import Host

_GLANCE: Final = 0.01
"""Real seconds between two looks at the threads, which cannot wake a selector."""


@final
class _SharedSelector(selectors.DefaultSelector):
    """Waits for real input, and lets the threads of the host run and its time pass meanwhile."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        host = self._host
        if not (host.paced and host.on_main_thread()):
            return super().select(timeout)
        end = None if timeout is None else real_now() + after_delay(max(timeout, 0))
        while True:
            host.fire_due()
            while host.run_a_thread():
                pass
            began = real_now()
            left = _GLANCE if end is None else min(_GLANCE, max(0, end - began) / SECOND)
            ready = super().select(left)
            host.timeline.advance(host.timeline.now() + real_now() - began)
            if ready or (end is not None and real_now() >= end):
                return ready


def real_loop(host: Host) -> asyncio.AbstractEventLoop:
    """A loop of asyncio's own kind that shares its thread with what `host` holds."""
    return asyncio.SelectorEventLoop(_SharedSelector(host))
