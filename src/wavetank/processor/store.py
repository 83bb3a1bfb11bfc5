"""Where a run keeps what it has done: the hooks that a journal and the sinks of results fill in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from .items import ItemResult, LLMWorkItem


@runtime_checkable
class Store(Protocol):
    """A memory that outlives the run, such as a journal on disk.

    The run awaits each method before it goes on, so what a method has kept when it returns
    is safe. Calls may overlap: several workers share one store. An exception of a store
    ends the run: nothing more is sent, and it leaves `process_all()` as it is.
    """

    async def limited_until(self) -> Mapping[str, float]:
        """Until when earlier runs were told to wait, by scope, in seconds since 1970; asked once, first."""
        ...

    async def recall(self, items: Sequence[LLMWorkItem[Any]]) -> Mapping[str, ItemResult[Any]]:
        """The outcomes that earlier runs kept for these items, by id; such an item is not sent again.

        Asked before an item is started: for the whole batch at once by `process_all()`, for
        some at a time by `process()`.
        """
        ...

    async def started(self, item: LLMWorkItem[Any], attempt: int) -> None:
        """Note that a request is about to be sent for the item; its attempts count up from 1."""
        ...

    async def ended(self, item: LLMWorkItem[Any], attempts: int) -> None:
        """Note that nothing of the item is under way, though it has no outcome yet.

        Awaited after a request that failed and is tried again, or was not sent after all, be it
        that `started` itself was cut off.
        Not after one that was cancelled: nobody knows whether that one was paid for.

        Args:
            item: the item.
            attempts: how many of its requests have been sent.
        """
        ...

    async def settled(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Keep the outcome of an item; awaited before anybody else hears of it."""
        ...

    async def paused(self, scope: str, until: float, count: int) -> None:
        """Note a pause: what it holds back, its end in seconds since 1970, the number of pauses so far."""
        ...


@runtime_checkable
class RunRecord(Protocol):
    """What a store may have besides: then it also keeps where a run stands, and which limit it met."""

    async def limited(self, scope: str, reason: str, source: str) -> None:
        """Note the limit behind a pause, before it, or behind a scope that is closed.

        Args:
            scope: what it holds back.
            reason: what it is, such as `status 429` or `plan limit, resets 2026-01-01 00:00 UTC`.
            source: where it was read, such as `stderr, exit code 1`.
        """
        ...

    async def run_ended(self, stopped: str | None) -> None:
        """Note that the run has ended, be it by an error or a cancellation; `stopped` says why too early."""
        ...


@runtime_checkable
class Sink(Protocol):
    """Where results go as they come: a file, a callback.

    A run writes one outcome at a time, after the store has kept it; an item without one, which
    a run that resumes takes up again, is not written. It never closes a sink: that is its
    owner's. An exception of a sink ends the run as one of the store does.
    """

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Take the outcome of an item."""
        ...
