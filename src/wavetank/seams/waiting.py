"""What a seam waits on until the desk has something for its client."""

from __future__ import annotations

from typing import Protocol


class AsyncEvent(Protocol):
    """As `anyio.Event`; `set` may be called from wherever the desk hands replies over."""

    def set(self) -> object: ...
    async def wait(self) -> object: ...


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
