"""The machine's clock: the instants that providers write are on it."""

from __future__ import annotations

import time


def wall_seconds() -> float:
    """The present, in seconds since 1970."""
    return time.time()  # noqa: TID251
