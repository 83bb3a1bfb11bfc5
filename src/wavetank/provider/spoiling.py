"""Which answers and connections the scenario's faults hit."""

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
        self._connections = 0
        refusing = [fault.kind == "connection-refused" for fault in self._faults]
        self._of_connections = tuple(number for number, refuses in enumerate(refusing) if refuses)
        self._of_answers = tuple(number for number, refuses in enumerate(refusing) if not refuses)

    def take(self, request: Request, nth: int, now: int) -> Fault | None:
        """The first fault that hits the answer to a request; it counts as one of its times."""
        for number in self._of_answers:
            fault = self._faults[number]
            if self._left[number] and now >= fault.at and self._meets(number, fault, request, nth):
                self._left[number] -= 1
                return fault
        return None

    def refuse(self, now: int) -> int | None:
        """The number of the first fault that refuses a connection, which counts as one of its times."""
        nth, self._connections = self._connections, self._connections + 1
        for number in self._of_connections:
            fault = self._faults[number]
            due = self._left[number] and now >= fault.at
            if due and self._picks.hits(fault.share, "fault", number, "", nth):
                self._left[number] -= 1
                return number
        return None

    def _meets(self, number: int, fault: Fault, request: Request, nth: int) -> bool:
        return fits(fault.match, request) and self._picks.hits(
            fault.share, "fault", number, request.item or "", nth
        )
