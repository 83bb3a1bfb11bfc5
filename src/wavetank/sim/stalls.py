"""Stalls: virtual time that passes inside the program, between two of its steps, as on a slow machine.

How often there is one, a policy decides: see `policies.random_choosers` and `policies.rare_choices`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..clock import MILLISECOND
from .choices import Chooser
from .deadlines import Deadlines
from .timers import Timers

LONGEST_STALL: Final = 50 * MILLISECOND
"""So much virtual time may pass inside the program at once, unless it passes a deadline of its own."""

MOST_DEADLINES: Final = 7
"""So many deadlines a stall passes at most."""


def chosen_stall(chooser: Chooser, timers: Timers, deadlines: Sequence[int] = ()) -> tuple[int, bool] | None:
    """The instant at which a stall ends that the chooser wants now, and whether it passes no deadline.

    `None` if it wants none. A stall ends at one of the next deadlines: two that pass the same ones differ
    only by the clock. Where no deadline is near, all of the longest stall may pass: what is set later
    then meets what was set before in another order. `deadlines` are instants that the timers do not include.
    """
    now = timers.now()
    until = now + LONGEST_STALL
    passed = timers.upcoming(until, MOST_DEADLINES)
    if deadlines:
        beside = (when for when in deadlines if now < when <= until)
        passed = sorted({*passed, *beside})[:MOST_DEADLINES]
    if not passed:
        return (until, True) if chooser.choose("pause", 2, ()) else None
    count = chooser.choose("stall", len(passed) + 1, ())
    return (passed[count - 1], False) if count else None


def chosen_deadline(chooser: Chooser, deadlines: Deadlines, now: int) -> int | None:
    """The instant just past a deadline of the program's own, if the chooser wants one to pass now.

    It is further away than a stall reaches; see `Deadlines` for those that never pass so.
    """
    if not deadlines.may_pass(now + LONGEST_STALL) or not chooser.choose("deadline", 2, ()):
        return None
    ahead = deadlines.ahead(now + LONGEST_STALL)[:MOST_DEADLINES]
    which = chooser.choose("deadline", len(ahead), ()) if len(ahead) > 1 else 0
    return ahead[which]
