"""What a seam waits on until the desk has something for its client."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from functools import lru_cache
from typing import Final, Protocol

from ..clock import Clock, after_delay

_after_delay: Final = lru_cache(maxsize=64)(after_delay)


class AsyncEvent(Protocol):
    """As `anyio.Event`; `set` may be called from wherever the desk hands replies over."""

    def set(self) -> object: ...
    def wait(self) -> Awaitable[object]: ...


class BlockingEvent(Protocol):
    """As `threading.Event`; the timeout of `wait` is in seconds, and False means it ran out."""

    def set(self) -> object: ...
    def wait(self, timeout: float | None = None, /) -> bool: ...


class Waits(Protocol):
    """Makes events for clients of one kind of time."""

    def event(self) -> AsyncEvent:
        """For a task of the running event loop."""

    def blocking_event(self) -> BlockingEvent:
        """For the calling thread."""

    def is_virtual_here(self) -> bool:
        """Whether time is virtual for the calling thread, so that it can reach no real host."""


async def wait_for(event: AsyncEvent, clock: Clock, timeout: float | None) -> None:
    """Return when the event is set, or when `timeout` seconds of the clock have passed.

    A timer of the clock stands in for a cancel scope, which costs more than the rest of a call.
    """
    if timeout is None or math.isinf(timeout):
        await event.wait()
        return
    timer = clock.call_at(clock.now() + _after_delay(timeout), event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()
