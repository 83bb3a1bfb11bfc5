"""The permits to have a request in flight: as many as there are workers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Protocol, final

import anyio


class Holder(Protocol):
    """Anything that may hold a permit."""

    holds_permit: bool


@final
class Permits:
    """Counts the requests that may be in flight.

    An item keeps its worker while it waits for its next try, but not its permit: a
    substitute worker is started for that time, so that with one worker another item runs
    meanwhile.

    Args:
        count: how many permits there are.
        start_substitute: called when a holder begins to wait; may start another worker.
    """

    def __init__(self, count: int, start_substitute: Callable[[], None]) -> None:
        self.count = count
        self._start_substitute = start_substitute
        self._free = anyio.Semaphore(count, fast_acquire=True)
        self._too_many = 0
        self.waiting_holders = 0
        """How many workers wait and have released their permit for that time."""

    def __repr__(self) -> str:
        return f"<Permits {self._free.value} of {self.count} free, {self.waiting_holders} holders wait>"

    async def acquire(self, holder: Holder) -> None:
        """Wait for a permit, in the order of the calls."""
        try:
            self._free.acquire_nowait()
        except anyio.WouldBlock:
            await self._free.acquire()
        holder.holds_permit = True

    def release(self, holder: Holder) -> None:
        """Give the permit back; without one this does nothing."""
        if holder.holds_permit:
            holder.holds_permit = False
            self._put_back()

    def resize(self, count: int) -> None:
        """Have another number of permits; those that are held are taken away when they are given back."""
        more = count - self.count
        self.count = count
        for _ in range(more):
            self._put_back()
        for _ in range(-more):
            try:
                self._free.acquire_nowait()
            except anyio.WouldBlock:
                self._too_many += 1

    def _put_back(self) -> None:
        if self._too_many:
            self._too_many -= 1
        else:
            self._free.release()

    async def wait_without(self, holder: Holder, wait: Callable[[], Awaitable[None]]) -> None:
        """Release the permit, wait, and acquire a permit again."""
        with self.released_while_waiting(holder):
            await wait()
        await self.acquire(holder)

    @contextmanager
    def released_while_waiting(self, holder: Holder) -> Iterator[None]:
        """Release the permit, and let a substitute work until the block ends."""
        self.release(holder)
        self.waiting_holders += 1
        try:
            self._start_substitute()
            yield
        finally:
            self.waiting_holders -= 1


@final
class HeldPermit:
    """The permit of one holder, for a gate to release while the holder waits in its line."""

    def __init__(self, permits: Permits, holder: Holder) -> None:
        self._permits: Final = permits
        self._holder: Final = holder

    def released_while_waiting(self) -> AbstractContextManager[None]:
        """Release the permit at the beginning of the block, for the time of a wait."""
        return self._permits.released_while_waiting(self._holder)

    def release(self) -> None:
        """Give the permit back."""
        self._permits.release(self._holder)

    async def acquire(self) -> None:
        """Wait for a permit."""
        await self._permits.acquire(self._holder)
