"""Did the scenario's waves and faults meet anybody?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..clock import format_duration
from ..events import EventLog
from .history import dated
from .verdict import Verdict

NAME = "exercised"
_SHOWN: Final = 6


def judge(log: EventLog) -> Verdict:
    """Fails when a wave or a fault of the scenario applied to no request: then a pass proves nothing."""
    if not log.header.waves and not log.header.faults:
        return Verdict(NAME, None, "the scenario has neither waves nor faults")
    unmet = missed(log)
    if unmet:
        return Verdict(NAME, False, ", ".join(unmet), tuple(_why(log)))
    return Verdict(NAME, True, "every wave and fault met a request")


def _why(log: EventLog) -> Iterator[str]:
    """When the waves without a request were open, as far as the run went, and which requests arrived."""
    met = {event.wave for event in log.of("refused")}
    for number in range(log.header.waves):
        if number not in met:
            seen = [each for each in log.of("wave-opened", "wave-closed", "held") if each.wave == number]
            yield from (dated(each, named=True) for each in seen[:_SHOWN])
            if not seen:
                yield f"wave {number + 1} did not open"
    arrived = log.of("arrived")
    yield f"{len(arrived)} request(s) arrived" + (
        f", from {format_duration(arrived[0].at)} to {format_duration(arrived[-1].at)}" if arrived else ""
    )


def missed(log: EventLog) -> list[str]:
    """The waves and faults of the scenario that applied to no request, each described."""
    met = {event.wave for event in log.of("refused")}
    held = {event.wave for event in log.of("held") if event.wave is not None}
    hit = {event.fault for event in log.of("answered", "left", "held")}
    return [
        *(_missed_wave(number, number in held) for number in range(log.header.waves) if number not in met),
        *(f"fault {number + 1} met no request" for number in range(log.header.faults) if number not in hit),
    ]


def _missed_wave(number: int, held: bool) -> str:
    return f"wave {number + 1} {'held requests but never filled' if held else 'met no request'}"
