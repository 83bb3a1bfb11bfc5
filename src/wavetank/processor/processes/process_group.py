"""Ends a process and all processes that it started."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import anyio
from anyio.abc import Process

LAST_MOMENT_SECONDS = 1.0
"""Time for the last output, and for a process to end by itself: more than either takes."""


async def end_group(process: Process, *, already_ending: bool = False) -> None:
    """Kill a process, which leads a process group, and the rest of its group, and wait for its end.

    A process that is `already_ending` gets a moment to end by itself. A cancellation does not
    interrupt this.
    """
    with anyio.CancelScope(shield=True):
        if already_ending:
            with anyio.move_on_after(LAST_MOMENT_SECONDS):
                await process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.aclose()
