"""Let no garbage collection strike in the middle of a run.

It closes async generators and calls finalizers, which cost the event loop steps. When it strikes
hangs on everything the process has allocated, so the same run would take another course each time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """Keep the collector off until the block ends; `collect_young` is for the run to call."""
    was_on = gc.isenabled()
    gc.disable()
    collect_young()
    try:
        yield
    finally:
        collect_young()
        if was_on:
            gc.enable()


def collect_young() -> None:
    """Collect what was made since the last time: the garbage of this run, never that of another."""
    gc.collect(0)


def collect_all() -> None:
    """Collect everything, between two runs."""
    gc.collect()
