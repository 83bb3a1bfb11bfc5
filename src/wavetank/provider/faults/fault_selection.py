"""Which answers, requests and connections meet the scenario's faults."""

from __future__ import annotations

from collections import Counter
from typing import Final, final

from ...scenario import CONNECTING, OUTAGES, Fault, FaultKind, Scenario, Stage, has_window, window_at
from ..matching import fits, fits_host
from ..picks import Picks
from ..request import Request
from .kinds import effect_of

_REFUSED: Final[FaultKind] = "connection-refused"


@final
class FaultSelection:
    """The faults of a scenario, and how many times each may still happen.

    Raises:
        ExtensionError: a fault is of an installed package, and cannot be used.
    """

    def __init__(self, scenario: Scenario, picks: Picks) -> None:
        self._faults = faults = scenario.fault
        for fault in faults:
            effect_of(fault.kind)  # at once, and not in the middle of an answer
        self._left = [fault.times or 1 for fault in faults]
        self._lasting = tuple(map(has_window, faults))
        self._picks = picks
        self._connections: Counter[tuple[str, Stage | None]] = Counter()
        numbers = range(len(faults))
        self._of_connections = tuple(number for number in numbers if faults[number].kind in CONNECTING)
        elsewhere = {*OUTAGES, *CONNECTING}
        self.of_answers = tuple(number for number in numbers if faults[number].kind not in elsewhere)
        """The numbers of the faults that spoil answers."""
        self.of_requests = tuple(filter(self._cuts_off, numbers))
        """The numbers of the faults by which the provider cannot be reached over an open connection."""

    def _cuts_off(self, number: int) -> bool:
        """While connections are refused, those that are open break; where only some are, they go on."""
        fault = self._faults[number]
        return fault.kind in OUTAGES and (
            fault.kind != _REFUSED or (self._lasting[number] and fault.share >= 1)
        )

    def for_connection(self, now: int, host: str, stage: Stage | None) -> int | None:
        """The number of the first fault that fails a connection at a step, which counts as one of its times.

        `None` is for all steps at once.
        """
        if not self._of_connections:
            return None
        nth = self._connections[host, stage]
        self._connections[host, stage] += 1
        for number in self._of_connections:
            fault = self._faults[number]
            if stage not in (None, CONNECTING[fault.kind]):
                continue
            due = self._is_due(number, now) and fits_host(fault.match.host, host)
            if due and self._picks.hits(fault.share, "fault", number, host, nth):
                self._left[number] -= 1
                return number
        return None

    def first(self, numbers: tuple[int, ...], request: Request, nth: int, now: int) -> Fault | None:
        """The first of these faults that applies to a request or its answer; this is one of its times."""
        for number in numbers:
            if self._is_due(number, now) and self._meets(number, request, nth):
                self._left[number] -= 1
                return self._faults[number]
        return None

    def _is_due(self, number: int, now: int) -> bool:
        if self._lasting[number]:
            return window_at(self._faults[number], now) is not None
        return self._left[number] > 0 and now >= self._faults[number].at

    def _meets(self, number: int, request: Request, nth: int) -> bool:
        fault = self._faults[number]
        return fits(fault.match, request) and self._picks.hits(
            fault.share, "fault", number, request.item or "", nth
        )
