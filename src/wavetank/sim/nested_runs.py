"""A loop that is run inside one of its own steps, as `nest_asyncio` and its successors allow it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import Any

from .private_names import require

require(
    asyncio.tasks,
    "_enter_task",
    "_leave_task",
    of=f"asyncio of Python {sys.version.split()[0]}",
    supported="use a Python that wavetank supports (3.11 to 3.14)",
)


def nesting_is_allowed() -> bool:
    """Whether the program has applied such a library, which replaces parts of asyncio for good."""
    return hasattr(asyncio, "_nest_patched")


def run_nested(loop: Any, runs: list[asyncio.Future[Any]], future: Awaitable[Any]) -> Any:
    """Run the loop until the future is done, and return its result; the step that calls goes on then.

    `runs` are the futures of the nested runs around this one. One that is done stops the loop, as does
    `loop.stop`, but what is nested in it comes to its own end first.
    """
    if not runs:
        loop.stop_asked = loop._stopping
    inner = asyncio.ensure_future(future, loop=loop)
    inner.add_done_callback(lambda _: setattr(loop, "_stopping", True))
    outer = asyncio.current_task(loop)
    if outer is not None:
        asyncio.tasks._leave_task(loop, outer)
    runs.append(inner)
    try:
        while not inner.done():
            loop._stopping = False
            loop._run_once()
    finally:
        runs.pop()
        loop._stopping = loop.stop_asked or any(each.done() for each in runs)
        if outer is not None:
            asyncio.tasks._enter_task(loop, outer)
    return inner.result()
