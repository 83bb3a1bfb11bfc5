"""The source of a run's items: a batch, or a stream of any length."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, final

import anyio

from .cancellation import awaited
from .items import LLMWorkItem
from .result_queue import ResultQueue
from .strategy_lifecycle import as_strategy

Taken = tuple[int, LLMWorkItem[Any]]
_NO_MORE: Final = object()


def checked_item(item: object) -> LLMWorkItem[Any]:
    """The same object, if it is an item.

    Raises:
        TypeError: it is no `LLMWorkItem`, or its strategy is no strategy.
    """
    if not isinstance(item, LLMWorkItem):
        raise TypeError(
            f"an item must be an LLMWorkItem, not {item!r}; "
            "make it one, as in LLMWorkItem(id='row-1', prompt='…')"
        )
    if item.strategy is not None:
        as_strategy(item.strategy, of=f"the strategy of item {item.id!r}")
    return item


async def prepared_item(
    prepare: Callable[[LLMWorkItem[Any]], Any], item: LLMWorkItem[Any], *, by: str = "prepare_item"
) -> LLMWorkItem[Any]:
    """The item that the caller's `prepare` returns, which may be async; `by` names it in an error.

    Raises:
        TypeError: it is no item, or has another id.
    """
    prepared = await awaited(prepare(item))
    if not isinstance(prepared, LLMWorkItem) or prepared.id != item.id:
        raise TypeError(f"{by} must return an LLMWorkItem with the id {item.id!r}, not {prepared!r}")
    return checked_item(prepared)


class ItemSource(Protocol):
    """Gives items one after the other, each with its number from 0."""

    @property
    def exhausted(self) -> bool:
        """Whether no item is left."""
        ...

    async def take(self) -> Taken | None:
        """The next item, or `None` when none is left."""
        ...

    def stop(self) -> None:
        """Give no more items; calls of `take` that wait return `None`."""
        ...


@final
class BatchSource:
    """The items of a batch, which are all known."""

    def __init__(self, items: Sequence[LLMWorkItem[Any]]) -> None:
        self._items = deque(enumerate(items))

    def __len__(self) -> int:
        return len(self._items)

    @property
    def exhausted(self) -> bool:
        """Whether no item is left."""
        return not self._items

    async def take(self) -> Taken | None:
        """The next item, or `None` when none is left."""
        return self._items.popleft() if self._items else None

    def stop(self) -> None:
        """Do nothing: `take` never waits here."""

    @property
    def remaining(self) -> list[Taken]:
        """The items that are left, in order."""
        return list(self._items)


@final
class StreamSource:
    """Items from an iterable; one is taken when the queue of results has room for its result."""

    def __init__(
        self, items: Iterable[LLMWorkItem[Any]] | AsyncIterable[LLMWorkItem[Any]], queue: ResultQueue[Any]
    ) -> None:
        self._async_items: AsyncIterator[LLMWorkItem[Any]] | None = None
        self._sync_items: Iterator[LLMWorkItem[Any]] = iter(())
        if isinstance(items, AsyncIterable):
            self._async_items = aiter(items)
        else:
            self._sync_items = iter(items)
        self._queue = queue
        self._fetch_lock = anyio.Lock(fast_acquire=True)
        self._fetch_scope = anyio.CancelScope()
        self._next = 0
        self._exhausted = False

    @property
    def exhausted(self) -> bool:
        """Whether no item is left."""
        return self._exhausted

    async def take(self) -> Taken | None:
        """The next item, or `None` when none is left.

        Raises:
            TypeError: the next object is no item.
            Exception: any error of the iterable.
        """
        if self._async_items is None:
            await self._queue.wait_for_room()
            return None if self._exhausted else self._numbered(next(self._sync_items, _NO_MORE))
        async with self._fetch_lock:
            # Only the holder of the lock may use the room.
            await self._queue.wait_for_room()
            return None if self._exhausted else await self._fetch(self._async_items)

    def stop(self) -> None:
        """Give no more items; calls of `take` that wait return `None`."""
        self._exhausted = True
        self._fetch_scope.cancel()
        self._queue.release_waiters()

    async def _fetch(self, items: AsyncIterator[LLMWorkItem[Any]]) -> Taken | None:
        item: object = _NO_MORE
        with anyio.CancelScope() as self._fetch_scope:
            item = await anext(items, _NO_MORE)
        return self._numbered(item)

    def _numbered(self, item: object) -> Taken | None:
        if item is _NO_MORE:
            self._exhausted = True
            return None
        taken = self._next, checked_item(item)
        self._next += 1
        self._queue.reserve()
        return taken
