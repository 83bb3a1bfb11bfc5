"""The way of results to whoever fetches them one by one."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar, final

import anyio

from .items import ItemResult

T = TypeVar("T")


@final
class ResultQueue(Generic[T]):
    """Results that wait to be fetched; with those still to come they are never more than `size`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._reserved = 0
        self._results: deque[ItemResult[T]] = deque()
        self._closed = self._unbounded = False
        self._error: Exception | None = None
        self._arrived: anyio.Event | None = None
        self._fetched: anyio.Event | None = None

    def __repr__(self) -> str:
        return f"<ResultQueue {self._reserved} of {self._size} open, {len(self._results)} to be fetched>"

    @property
    def has_room(self) -> bool:
        """Whether another item may be taken up."""
        return self._reserved < self._size

    async def wait_for_room(self) -> None:
        """Wait until another item may be taken up."""
        while not self.has_room and not self._unbounded:
            if self._fetched is None:
                self._fetched = anyio.Event()
            await self._fetched.wait()

    def reserve(self) -> None:
        """Note that an item was taken up: its result will come."""
        self._reserved += 1

    def put(self, result: ItemResult[T]) -> None:
        """Hand a result over."""
        self._results.append(result)
        self._notify_result()

    def close(self, error: Exception | None = None) -> None:
        """Know that no more results come; with an error, it is raised when those there are fetched."""
        self._closed, self._error = True, error
        self._notify_result()

    async def get(self) -> ItemResult[T] | None:
        """The next result, or `None` when no more come."""
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
        """Let everybody in who waits for room: nothing more will be taken up."""
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
