"""A sink that hands each result to a function."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, final

from ..items import ItemResult, LLMWorkItem
from ..journal import Journal


@final
class CallbackSink:
    """Calls a function with each result, and awaits it if it is async.

    An error in the function stops the run. With a journal, a result that an earlier run
    delivered and recorded is not delivered again. A run that is killed between the two
    delivers the result once more, so the function must allow for that.

    Args:
        function: is called with the item and its result.
        journal: records which results were delivered; it must also be the last of the run's
            sinks.
    """

    def __init__(
        self,
        function: Callable[[LLMWorkItem[Any], ItemResult[Any]], Awaitable[object] | object],
        *,
        journal: Journal | None = None,
    ) -> None:
        self._function = function
        self._journal = journal

    def __repr__(self) -> str:
        return f"<CallbackSink {self._function!r}>"

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Call the function."""
        if self._journal is not None and self._journal.was_delivered(item.id):
            return
        returned = self._function(item, result)
        if inspect.isawaitable(returned):
            await returned
