"""Where a run's items come from: a batch that is there, or a stream of any length."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Protocol, final

import anyio

from .outlet import Outlet
from .work import LLMWorkItem

Taken = tuple[int, LLMWorkItem[Any]]


class Intake(Protocol):
    """Items, one after the other, each with its number from 0."""

    @property
    def exhausted(self) -> bool:
        """Whether no item is left."""
        ...

    async def take(self) -> Taken | None:
        """The next item, or `None` when none is left."""
        ...

    def stop(self) -> None:
        """Let nobody wait for an item any more."""
        ...


@final
class Batch:
    """Items that are all there."""

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
        """Nobody waits here."""

    @property
    def rest_of_it(self) -> list[Taken]:
        """All that is left, in order."""
        return list(self._items)


@final
class Stream:
    """Items from an iterable, taken only while few enough of their results wait to be fetched."""

    def __init__(
        self, items: Iterable[LLMWorkItem[Any]] | AsyncIterable[LLMWorkItem[Any]], outlet: Outlet[Any]
    ) -> None:
        self._later: AsyncIterator[LLMWorkItem[Any]] | None = None
        self._here: Iterator[LLMWorkItem[Any]] = iter(())
        if isinstance(items, AsyncIterable):
            self._later = aiter(items)
        else:
            self._here = iter(items)
        self._outlet = outlet
        self._turn = anyio.Lock(fast_acquire=True)
        self._fetching = anyio.CancelScope()
        self._next = 0
        self._exhausted = False

    @property
    def exhausted(self) -> bool:
        """Whether no item is left."""
        return self._exhausted

    async def take(self) -> Taken | None:
        """The next item, or `None` when none is left."""
        if not self._exhausted and not self._outlet.has_room:
            await self._outlet.room()
        if self._later is not None:
            async with self._turn:
                return None if self._exhausted else await self._fetch(self._later)
        return None if self._exhausted else self._number(next(self._here, None))

    def stop(self) -> None:
        """Let nobody wait for an item any more."""
        self._exhausted = True
        self._fetching.cancel()
        self._outlet.open_up()

    async def _fetch(self, later: AsyncIterator[LLMWorkItem[Any]]) -> Taken | None:
        item = None
        with anyio.CancelScope() as self._fetching:
            item = await anext(later, None)
        return self._number(item)

    def _number(self, item: LLMWorkItem[Any] | None) -> Taken | None:
        if item is None:
            self._exhausted = True
            return None
        number = self._next
        self._next += 1
        self._outlet.expect()
        return number, item
