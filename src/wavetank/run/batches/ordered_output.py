"""Writes rows in the order of the input, whichever batch is done first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from ...processor import ItemResult, LLMWorkItem, Sink


@final
class OrderedOutput:
    """Holds each row back until all rows before it are written.

    Args:
        items: the items in the order of the input.
        sink: gets the results.
    """

    def __init__(self, items: Sequence[LLMWorkItem[Any]], sink: Sink) -> None:
        self._items = items
        self._sink = sink
        self._results: dict[str, ItemResult[Any]] = {}
        self._next = 0

    def add(self, result: ItemResult[Any]) -> None:
        """Take the result of an item."""
        self._results[result.id] = result

    async def write_ready(self) -> None:
        """Write the rows that none before them holds back."""
        while self._next < len(self._items) and self._items[self._next].id in self._results:
            await self._write_next()

    async def write_all(self) -> None:
        """Write all rows that have a result: the run ends, and those before them have none."""
        while self._next < len(self._items):
            await self._write_next()

    async def _write_next(self) -> None:
        item = self._items[self._next]
        self._next += 1
        if (result := self._results.pop(item.id, None)) is not None:
            await self._sink.write(item, result)
