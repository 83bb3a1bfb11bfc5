"""Did the scenario's waves and faults meet anybody?"""

from __future__ import annotations

from ..events import EventLog
from .verdict import Verdict

NAME = "exercised"


def judge(log: EventLog) -> Verdict:
    """Fails when a wave or a fault of the scenario met no request: such a pass says nothing about it."""
    if not log.header.waves and not log.header.faults:
        return Verdict(NAME, None, "the scenario has neither waves nor faults")
    unmet = missed(log)
    if unmet:
        return Verdict(NAME, False, ", ".join(unmet))
    return Verdict(NAME, True, "every wave and fault met a request")


def missed(log: EventLog) -> list[str]:
    """The waves and faults of the scenario that met nobody, each in words."""
    met = {event.wave for event in log.of("refused")}
    held = {event.wave for event in log.of("held")}
    hit = {event.fault for event in log.of("answered", "left")}
    return [
        *(_missed_wave(number, number in held) for number in range(log.header.waves) if number not in met),
        *(f"fault {number + 1} met no request" for number in range(log.header.faults) if number not in hit),
    ]


def _missed_wave(number: int, held: bool) -> str:
    return f"wave {number + 1} {'held requests but never filled' if held else 'met no request'}"
