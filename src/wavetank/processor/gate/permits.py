"""The permits to have a request under way: as many as there are workers, lent on while an item waits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol, final

import anyio


class Holder(Protocol):
    """Whoever may hold a permit."""

    holds_permit: bool


@final
class Permits:
    """Counts the requests that may be under way.

    An item keeps its worker while it waits for its next try, and lends its permit: a
    substitute is hired for the time, so that with one worker another item runs meanwhile.

    Args:
        count: how many there are.
        start_substitute: called when a permit is lent; may start another worker.
    """

    def __init__(self, count: int, start_substitute: Callable[[], None]) -> None:
        self.count = count
        self._start_substitute = start_substitute
        self._free = anyio.Semaphore(count, fast_acquire=True)
        self.lent = 0

    def __repr__(self) -> str:
        return f"<Permits {self._free.value} of {self.count} free, {self.lent} lent>"

    async def get(self, holder: Holder) -> None:
        """Wait for a permit; who waited longest is first."""
        try:
            self._free.acquire_nowait()
        except anyio.WouldBlock:
            await self._free.acquire()
        holder.holds_permit = True

    def release(self, holder: Holder) -> None:
        """Give the permit back; without one this does nothing."""
        if holder.holds_permit:
            holder.holds_permit = False
            self._free.release()

    async def lend_while(self, holder: Holder, rest: Callable[[], Awaitable[None]]) -> None:
        """Let others have the permit as long as the holder rests; then get one again."""
        with self.released_while_waiting(holder):
            await rest()
        await self.get(holder)

    @contextmanager
    def released_while_waiting(self, holder: Holder) -> Iterator[None]:
        """Let others have the permit, and somebody else work, while the holder waits."""
        self.release(holder)
        self.lent += 1
        try:
            self._start_substitute()
            yield
        finally:
            self.lent -= 1


@final
class HeldPermit:
    """The permit of one holder, for a gate to take from it while it stands in the line."""

    def __init__(self, permits: Permits, holder: Holder) -> None:
        self._permits: Final = permits
        self._holder: Final = holder

    def released_while_waiting(self) -> AbstractContextManager[None]:
        """For the time of a wait: it begins by laying the permit down."""
        return self._permits.released_while_waiting(self._holder)

    def release(self) -> None:
        """Let others have it."""
        self._permits.release(self._holder)

    async def acquire(self) -> None:
        """Wait until it is free, and take it."""
        await self._permits.get(self._holder)
