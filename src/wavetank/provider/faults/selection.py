"""Which answers and connections meet the scenario's faults."""

from __future__ import annotations

from typing import final

from ...scenario import Fault, Scenario
from ..matching import fits
from ..picks import Picks
from ..request import Request


@final
class FaultSelection:
    """The faults of a scenario, and how many times each may still happen."""

    def __init__(self, scenario: Scenario, picks: Picks) -> None:
        self._faults = scenario.fault
        self._left = [fault.times for fault in scenario.fault]
        self._picks = picks
        self._connections = 0
        refusing = [fault.kind == "connection-refused" for fault in self._faults]
        self._of_connections = tuple(number for number, refuses in enumerate(refusing) if refuses)
        self._of_answers = tuple(number for number, refuses in enumerate(refusing) if not refuses)

    def for_answer(self, request: Request, nth: int, now: int) -> Fault | None:
        """The first fault that the answer to a request meets; it counts as one of its times."""
        for number in self._of_answers:
            if self._is_due(number, now) and self._meets(number, request, nth):
                self._left[number] -= 1
                return self._faults[number]
        return None

    def for_connection(self, now: int) -> int | None:
        """The number of the first fault that refuses a connection, which counts as one of its times."""
        nth, self._connections = self._connections, self._connections + 1
        for number in self._of_connections:
            due = self._is_due(number, now)
            if due and self._picks.hits(self._faults[number].share, "fault", number, "", nth):
                self._left[number] -= 1
                return number
        return None

    def _is_due(self, number: int, now: int) -> bool:
        return self._left[number] > 0 and now >= self._faults[number].at

    def _meets(self, number: int, request: Request, nth: int) -> bool:
        fault = self._faults[number]
        return fits(fault.match, request) and self._picks.hits(
            fault.share, "fault", number, request.item or "", nth
        )
