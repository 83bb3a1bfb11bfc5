"""The end of a process and of all that it started."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import anyio
from anyio.abc import Process

LAST_MOMENT_SECONDS = 1.0


async def end_group(process: Process, *, already_ending: bool = False) -> None:
    """Kill the process, the leader of a group of its own, and the rest of the group; wait for it.

    One that is `already_ending` is given a moment to end by itself. No cancellation cuts this short.
    """
    with anyio.CancelScope(shield=True):
        if already_ending:
            with anyio.move_on_after(LAST_MOMENT_SECONDS):
                await process.wait()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.aclose()
