"""Cancellations that are not meant for the task they reach."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, final

import anyio


@final
class LeakedCancellation(RuntimeError):
    """A hook of the caller's awaited something that was cancelled, though nobody cancelled the hook."""


def cancels_this_task(error: BaseException) -> bool:
    """Whether a `CancelledError` is meant for this task, not a leak from a task or future the call awaited.

    On asyncio a call that awaits something cancelled raises the same exception; taken
    for a cancellation of the worker, it would end the worker in silence.
    """
    if not isinstance(error, asyncio.CancelledError):
        return False
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        return True
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def awaited(value: Any) -> Any:
    """What a hook returned, awaited if it is awaitable.

    Raises:
        LeakedCancellation: it awaited something that was cancelled, while its own task was not.
    """
    if not inspect.isawaitable(value):
        return value
    try:
        return await value
    except asyncio.CancelledError as error:
        if cancels_this_task(error):
            raise
        raise LeakedCancellation("it awaited a task or future that was cancelled") from error
