"""What a search did to the program in a run, beyond an order of its steps: some checks do not judge that.

A program that lost half a minute, or was interrupted, may have failed items, kept
no rate and taken long without being wrong; so may one of which a replica has crashed or was paused.
"""

from __future__ import annotations

from typing import Final

from ..events import Event, EventLog

DEADLINE: Final = "deadline"
"""The reason of a `stalled` in which a deadline of the program's own passed."""


_WAS: Final = {"crashed": "crashed", "paused": "was paused"}


def explored_stalls(log: EventLog) -> list[Event]:
    """The stretches in which the explorer let time pass inside the program, each from `since` to `at`."""
    return [event for event in log.of("stalled") if event.reason in (None, DEADLINE)]


def disturbed(log: EventLog) -> str | None:
    """Why counts, rates and waits are not judged in this run, in words; `None` if they are."""
    if any(event.reason == DEADLINE for event in log.of("stalled")):
        return "the explorer let a deadline of the program's own pass"
    if log.of("interrupted"):
        return "the explorer interrupted the program"
    for event in log.of("replica"):
        if event.action in ("crashed", "paused"):
            return f"replica {event.task!r} {_WAS[event.action]}"
    return None
