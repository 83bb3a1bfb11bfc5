"""The interfaces of stores and sinks: a store remembers a run, a sink gets its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from .items import ItemResult, LLMWorkItem


@runtime_checkable
class Store(Protocol):
    """Remembers a run after its end, such as a journal on disk.

    The run awaits each method before it continues, so what a method has stored when it
    returns is safe. Calls may overlap, because several workers share one store. An exception
    of a store ends the run: nothing more is sent, and `process_all()` raises it.
    """

    async def limited_until(self) -> Mapping[str, float]:
        """The end of the last rate limit of each scope, in seconds since 1970; called once, at the start."""
        ...

    async def recall(self, items: Sequence[LLMWorkItem[Any]]) -> Mapping[str, ItemResult[Any]]:
        """The outcomes that earlier runs stored for these items, by id; such an item is not sent again.

        Called before an item is started: once for the whole batch by `process_all()`, and for
        one item at a time by `process()`.
        """
        ...

    async def started(self, item: LLMWorkItem[Any], attempt: int) -> None:
        """Record that a request of the item is about to be sent; `attempt` counts from 1."""
        ...

    async def ended(self, item: LLMWorkItem[Any], attempts: int) -> None:
        """Record that no request of the item is under way, although it has no outcome yet.

        Awaited after a request that failed and is tried again, and after one that was not sent,
        also because `started` was cancelled. Not awaited after a request that was cancelled,
        because that one may have been paid for.

        Args:
            item: the item.
            attempts: how many of its requests have been sent.
        """
        ...

    async def settled(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Store the outcome of an item; awaited before it is delivered to anything else."""
        ...

    async def paused(self, scope: str, until: float, count: int) -> None:
        """Record a pause: its scope, its end in seconds since 1970, and the number of pauses in this run."""
        ...


@runtime_checkable
class RunRecord(Protocol):
    """Optional methods of a store that also records limits and the end of a run."""

    async def limited(self, scope: str, reason: str, source: str) -> None:
        """Record the limit that caused a pause, before the pause itself, or that closed a scope.

        Args:
            scope: the scope that it holds back.
            reason: what it is, such as `status 429` or `plan limit, resets 2026-01-01 00:00 UTC`.
            source: where it was read, such as `stderr, exit code 1`.
        """
        ...

    async def run_ended(self, stopped: str | None) -> None:
        """Record that the run has ended, for any cause; `stopped` says why it ended early."""
        ...


@runtime_checkable
class Sink(Protocol):
    """Gets results as they come, such as a file or a callback.

    A run writes one outcome at a time, after it was stored. An item without an outcome, which
    a run that resumes sends again, is not written. A run never closes a sink: its owner does.
    An exception of a sink ends the run, like one of the store.
    """

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Write the outcome of an item."""
        ...
