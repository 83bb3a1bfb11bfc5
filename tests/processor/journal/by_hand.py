"""Calls a journal without an event loop, as a plain script: none of its methods waits."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from wavetank.processor import ItemResult, LLMWorkItem, TokenUsage
from wavetank.processor.journal import Journal

V = TypeVar("V")


def at_once(call: Coroutine[Any, Any, V]) -> V:
    """The value of a call that never waits."""
    try:
        call.send(None)
    except StopIteration as done:
        value: V = done.value
        return value
    raise AssertionError("the journal waited")


def item(id: str) -> LLMWorkItem[None]:
    """An item whose prompt is its id."""
    return LLMWorkItem(id, id)


def start(journal: Journal, id: str, attempt: int = 1) -> None:
    """Record that a request of the item is sent."""
    at_once(journal.started(item(id), attempt))


def settle(
    journal: Journal, id: str, value: Any = None, *, error: Exception | None = None, reason: str | None = None
) -> None:
    """Store the outcome of the item, with some tokens."""
    result = ItemResult(id, value, error=error, reason=reason, usage=TokenUsage(3, 4))
    at_once(journal.settled(item(id), result))
