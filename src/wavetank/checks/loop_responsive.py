"""Does every step of the event loop let the others go on soon?"""

from __future__ import annotations

from typing import Final

from ..clock import MILLISECOND, format_duration
from ..events import Event, EventLog
from .history import dated
from .verdict import Verdict

NAME: Final = "loop_responsive"
LONGEST_STEP: Final = 100 * MILLISECOND
"""So much virtual time may pass within one step."""


def judge(log: EventLog) -> Verdict:
    """Fails when more than 100 ms pass within one step of an event loop, as in `time.sleep` or a sync call.

    Stalls of the explorer pass between steps and do not count.
    """
    blocked = [event for event in log.of("stalled") if event.reason == "blocking"]
    longest = max(blocked, key=_length, default=None)
    if longest is None:
        return Verdict(NAME, True, "no time passed within a step of an event loop")
    longest_text = format_duration(_length(longest))
    if _length(longest) <= LONGEST_STEP:
        return Verdict(NAME, True, f"at most {longest_text} passed within one step of an event loop")
    summary = (
        f"one step held the event loop for {longest_text}, from {format_duration(longest.since or 0)} on: "
        "a sync call or time.sleep in async code"
    )
    return Verdict(NAME, False, summary, tuple(map(dated, blocked)))


def _length(event: Event) -> int:
    return event.at - (event.at if event.since is None else event.since)
