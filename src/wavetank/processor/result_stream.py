"""The results of a stream: the async iterator that `process` returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar, final

import anyio

from .items import ItemResult
from .result_queue import ResultQueue

T = TypeVar("T")


@final
class Results(Generic[T]):
    """Returns each result of a stream once, as it comes.

    The run starts when the first result is fetched. It ends after the last one, when the
    iterator is closed, or with the processor's `async with`. This is no generator, because a
    generator that is left early is closed by the garbage collector, at any time and in any
    task. As with a generator, only one task at a time may fetch: a second one gets a
    `RuntimeError`.

    Args:
        queue: gets the results.
        begin: starts the run and returns the scope that cancels it.
    """

    def __init__(self, queue: ResultQueue[T], begin: Callable[[], Awaitable[anyio.CancelScope]]) -> None:
        self._queue = queue
        self._begin = begin
        self._run: anyio.CancelScope | None = None
        self._fetching = self._closed = False

    def __aiter__(self) -> Results[T]:
        return self

    async def __anext__(self) -> ItemResult[T]:
        if self._fetching:
            raise RuntimeError("another task is fetching the next result; fetch in one task only")
        self._fetching = True
        try:
            return await self._next()
        finally:
            self._fetching = False

    async def _next(self) -> ItemResult[T]:
        if self._run is None:
            if self._closed:
                raise StopAsyncIteration
            self._run = await self._begin()
            if self._closed:
                self._run.cancel()
        result = await self._queue.get()
        if result is None:
            raise StopAsyncIteration
        return result

    async def aclose(self) -> None:
        """Stop the run now, as `contextlib.aclosing` does when the loop ends early.

        A run that has not started will not start.
        """
        self._closed = True
        if self._run is not None:
            self._run.cancel()
