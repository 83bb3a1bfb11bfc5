"""A queue of results that are fetched one by one."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar, final

import anyio

from .items import ItemResult

T = TypeVar("T")


@final
class ResultQueue(Generic[T]):
    """A queue with room for `size` results; an item reserves the room for its result when it is started."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._reserved = 0
        self._results: deque[ItemResult[T]] = deque()
        self._closed = self._unbounded = False
        self._error: Exception | None = None
        self._arrived: anyio.Event | None = None
        self._fetched: anyio.Event | None = None

    def __repr__(self) -> str:
        return f"<ResultQueue {self._reserved} of {self._size} reserved, {len(self._results)} to be fetched>"

    @property
    def has_room(self) -> bool:
        """Whether another item may be started."""
        return self._reserved < self._size

    async def wait_for_room(self) -> None:
        """Wait until another item may be started."""
        while not self.has_room and not self._unbounded:
            if self._fetched is None:
                self._fetched = anyio.Event()
            await self._fetched.wait()

    def reserve(self) -> None:
        """Reserve room for the result of an item that was started."""
        self._reserved += 1

    def put(self, result: ItemResult[T]) -> None:
        """Add a result."""
        self._results.append(result)
        self._notify_result()

    def close(self, error: Exception | None = None) -> None:
        """End the queue; an error is raised when the results that are left have been fetched."""
        self._closed, self._error = True, error
        self._notify_result()

    async def get(self) -> ItemResult[T] | None:
        """The next result, or `None` at the end."""
        while not self._results:
            if self._error is not None:
                raise self._error
            if self._closed:
                return None
            self._arrived = anyio.Event()
            await self._arrived.wait()
        self._reserved -= 1
        self._notify_room()
        return self._results.popleft()

    def release_waiters(self) -> None:
        """End all waits for room: no more items will be started."""
        self._unbounded = True
        self._notify_room()

    def _notify_room(self) -> None:
        if self._fetched is not None:
            self._fetched.set()
            self._fetched = None

    def _notify_result(self) -> None:
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None
