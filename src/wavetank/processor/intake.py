"""Where a run's items come from: a batch that is there, or a stream of any length."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, final

import anyio

from .lifecycle import as_strategy
from .outlet import Outlet
from .work import LLMWorkItem

Taken = tuple[int, LLMWorkItem[Any]]
_NO_MORE: Final = object()


def checked(item: object) -> LLMWorkItem[Any]:
    """An item, if it is one.

    Raises:
        TypeError: it is something else, or its strategy is none.
    """
    if not isinstance(item, LLMWorkItem):
        raise TypeError(
            f"an item must be an LLMWorkItem, not {item!r}; "
            "make one of it, as in LLMWorkItem(id='row-1', prompt='…')"
        )
    if item.strategy is not None:
        as_strategy(item.strategy, of=f"the strategy of item {item.id!r}")
    return item


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
        """The next item, or `None` when none is left.

        Raises:
            TypeError: the next is no item.
            Exception: what the iterable raised.
        """
        if self._later is None:
            await self._outlet.room()
            return None if self._exhausted else self._number(next(self._here, _NO_MORE))
        async with self._turn:
            # Whoever has the turn is the only one to fill the room that is there.
            await self._outlet.room()
            return None if self._exhausted else await self._fetch(self._later)

    def stop(self) -> None:
        """Let nobody wait for an item any more."""
        self._exhausted = True
        self._fetching.cancel()
        self._outlet.open_up()

    async def _fetch(self, later: AsyncIterator[LLMWorkItem[Any]]) -> Taken | None:
        item: object = _NO_MORE
        with anyio.CancelScope() as self._fetching:
            item = await anext(later, _NO_MORE)
        return self._number(item)

    def _number(self, item: object) -> Taken | None:
        if item is _NO_MORE:
            self._exhausted = True
            return None
        taken = self._next, checked(item)
        self._next += 1
        self._outlet.expect()
        return taken
