"""Let no garbage collection strike in the middle of a run.

It closes async generators and calls finalizers, which cost the event loop steps. When it strikes
hangs on everything the process has allocated, so the same run would take another course each time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

RUNS_PER_COLLECTION: Final = 500
"""After so many runs the garbage of all of them is collected, not only that of the last."""

_runs: Final = [0]


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


def collect_between_runs() -> None:
    """Collect the garbage of the run before, and from time to time that of all runs of the process.

    The runs of many short searches add up, since the garbage that has grown old belongs to no run.
    """
    _runs[0] += 1
    if _runs[0] % RUNS_PER_COLLECTION:
        collect_young()
    else:
        gc.collect()
