"""Collect a run's garbage before references are looked at.

When garbage is collected of itself depends on all that the process did before, and must not
decide what a report says.
"""

from __future__ import annotations

import gc
import sys
from typing import final


@final
class Garbage:
    """The garbage of one run, which starts when this is made."""

    __slots__ = ("_aged",)

    def __init__(self) -> None:
        self._aged = _collections_that_age()

    def collect(self) -> None:
        """Collect it; if nothing of the run has aged, the process's old objects are not looked at."""
        if sys.version_info < (3, 14) and self._aged == _collections_that_age():
            gc.collect(1)
        else:
            gc.collect()

    def __repr__(self) -> str:
        return "<Garbage of one run>"


def _collections_that_age() -> int:
    """How many collections there were that moved objects to the oldest generation."""
    return sum(stats["collections"] for stats in gc.get_stats()[1:])
