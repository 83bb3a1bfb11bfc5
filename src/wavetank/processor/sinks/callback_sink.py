"""A sink that hands each result to a function."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, final

from ..items import ItemResult, LLMWorkItem
from ..journal import Journal


@final
class CallbackSink:
    """Hands each result to a function of yours, and awaits it if it is async.

    What the function raises stops the run. With a journal, a result that an earlier run
    handed over and noted is not handed over again; killed in between, a run hands it over
    once more, so let the function bear that.

    Args:
        function: takes the item and its result.
        journal: where the run notes what was handed over; make it the last of the run's
            sinks, too.
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
