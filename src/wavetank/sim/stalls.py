"""Stalls: virtual time that passes inside the program, between two of its steps, as on a slow machine.

How often there is one, a policy decides: see `policies.random_choosers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..clock import MILLISECOND
from .choices import Chooser
from .timers import Timers

LONGEST_STALL: Final = 50 * MILLISECOND
"""So much virtual time may pass inside the program at once."""

MOST_DEADLINES: Final = 7
"""So many deadlines a stall passes at most."""


def chosen_stall(chooser: Chooser, timers: Timers, deadlines: Sequence[int] = ()) -> int | None:
    """The instant at which a stall ends that the chooser wants now; `None` if it wants none.

    A stall ends at one of the next deadlines: time that passes no deadline changes nothing.
    `deadlines` are instants that the timers do not include.
    """
    now = timers.now()
    until = now + LONGEST_STALL
    passed = timers.upcoming(until, MOST_DEADLINES)
    if deadlines:
        beside = (when for when in deadlines if now < when <= until)
        passed = sorted({*passed, *beside})[:MOST_DEADLINES]
    if not passed:
        return None
    count = chooser.choose("stall", len(passed) + 1, ())
    return passed[count - 1] if count else None
