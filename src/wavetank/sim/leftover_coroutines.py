"""Let go of coroutines that are left when their run is over, also of those that will not end."""

from __future__ import annotations

import inspect
from asyncio import CancelledError
from collections.abc import Coroutine
from typing import Any

from .errors import RunStopped


def close_or_keep(coro: object) -> None:
    """Close a coroutine while its engine is still there; one that goes on all the same is kept for ever.

    A `while True` around an `except:` that catches everything outlives `close`. Its finalizer would
    enter it once more, with no engine to wait on, and it would never come back.
    """
    chain: list[Coroutine[Any, Any, Any]] = []
    inner = coro
    while inspect.iscoroutine(inner):
        chain.append(inner)
        inner = inner.cr_await
    for each in reversed(chain):
        try:
            each.close()
        except (Exception, CancelledError, RunStopped):
            if inspect.getcoroutinestate(each) == inspect.CORO_SUSPENDED:
                _keep(chain[0])
                return


def _keep(coro: Coroutine[Any, Any, Any]) -> None:
    """Count one reference that is never given back: a list of ours would be cleared when Python ends."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(coro))
