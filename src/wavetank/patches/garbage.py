"""Let no garbage collection strike in the middle of a run.

It closes async generators and calls finalizers, which cost the event loop steps. When it strikes
hangs on everything the process has allocated, so the same run would take another course each time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

RUNS_PER_LARGER_COLLECTION: Final = 50
"""After so many runs the garbage that has outlived the run after its own is collected as well.

A program keeps it when a variable of a module leads to what its last run has made.
"""

RUNS_PER_FULL_COLLECTION: Final = 5_000
"""After so many runs everything is looked at.

That takes as long as a hundred short runs where large libraries are imported.
"""

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
    if _runs[0] % RUNS_PER_LARGER_COLLECTION:
        collect_young()
    elif _runs[0] % RUNS_PER_FULL_COLLECTION:
        gc.collect(1)
    else:
        gc.collect()
