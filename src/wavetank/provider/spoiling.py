"""Which answers the scenario's faults hit."""

from __future__ import annotations

from typing import final

from ..scenario import Fault, Scenario
from .matching import fits
from .model import Request
from .picks import Picks


@final
class Faults:
    """The faults of a scenario and how many answers each may still hit."""

    def __init__(self, scenario: Scenario, picks: Picks) -> None:
        self._faults = scenario.fault
        self._left = [fault.times for fault in scenario.fault]
        self._picks = picks

    def take(self, request: Request, nth: int, now: int) -> Fault | None:
        """The first fault that hits the answer to a request; it counts as one of its times."""
        for number, fault in enumerate(self._faults):
            if self._left[number] and now >= fault.at and self._meets(number, fault, request, nth):
                self._left[number] -= 1
                return fault
        return None

    def _meets(self, number: int, fault: Fault, request: Request, nth: int) -> bool:
        return fits(fault.match, request) and self._picks.hits(
            fault.share, "fault", number, request.item or "", nth
        )
