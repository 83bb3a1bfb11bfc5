"""Tells a cancellation of a task from a `CancelledError` that the task only received."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any, final

import anyio


@final
class LeakedCancellation(RuntimeError):
    """A callback awaited something that was cancelled, although the callback itself was not."""


def cancels_this_task(error: BaseException) -> bool:
    """Whether an error cancels this task, and does not come from a cancelled task or future it awaited.

    On asyncio both raise `CancelledError`. A worker that took the second for its own
    cancellation would end without a trace.
    """
    if not isinstance(error, asyncio.CancelledError):
        return False
    if anyio.get_cancelled_exc_class() is not asyncio.CancelledError:
        return True
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def awaited(value: Any) -> Any:
    """The value that a callback returned, awaited if it is awaitable.

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
