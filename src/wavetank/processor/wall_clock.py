"""The clocks of the machine: the instants that providers write are on its wall clock."""

from __future__ import annotations

import time


def wall_seconds() -> float:
    """The present, in seconds since 1970."""
    return time.time()  # noqa: TID251


def machine_us() -> int:
    """Microseconds since the machine was started: the same clock in all its processes, never set back."""
    return time.monotonic_ns() // 1000  # noqa: TID251
