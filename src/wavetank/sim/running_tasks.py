"""Which task runs now and which one has started it, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import sys
from asyncio import current_task, events
from typing import Any

from .asyncio_handles import CountedTask


def running_task() -> object | None:
    """The task of this thread's event loop, or run of trio, that runs now."""
    loop = events._get_running_loop()
    if loop is not None:
        return current_task(loop)
    trio = sys.modules.get("trio")
    return trio.lowlevel.current_task() if trio is not None and trio.lowlevel.in_trio_task() else None


def is_cancelled(task: Any) -> bool:
    """Whether a task is to be cancelled at one of its next awaits."""
    if isinstance(task, asyncio.Task):
        return task.cancelling() > 0
    status = getattr(task, "_cancel_status", None)
    return status is not None and bool(status.effectively_cancelled)


def parent_of(task: Any) -> object | None:
    """The task that has started a task, if it is there still and known."""
    if isinstance(task, CountedTask):
        return task.parent()
    nursery = getattr(task, "parent_nursery", None)
    return None if nursery is None else nursery.parent_task
