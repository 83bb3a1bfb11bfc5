"""Correct programs with threads are never blamed, wherever a search switches or interrupts them."""

from __future__ import annotations

from collections.abc import Callable

import wavetank
from wavetank import Tank

from ..depth import DEEP, by_turns, n_of
from .threads import PROGRAMS

SCHEDULES = n_of(8, 1000)
SCENARIOS = ("cascade", "overloaded", "calm") if DEEP else ("cascade",)


@by_turns(scenario=SCENARIOS, main=PROGRAMS, interrupt=[False, True])
def test_a_correct_program_is_not_blamed(
    main: Callable[[Tank], None], scenario: str, interrupt: bool
) -> None:
    """Its counts are judged, too, and each run ends."""
    result = wavetank.search(
        main, scenario, schedules=SCHEDULES, interrupt=interrupt, checks="+permits_returned"
    )
    result.check()
    assert result.choices["switch"]
