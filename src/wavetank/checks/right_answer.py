"""Does each item get its own answer?"""

from __future__ import annotations

from ..events import Event, EventLog
from .history import history, ledger_of
from .verdict import Verdict

NAME = "right_answer"


def judge(log: EventLog) -> Verdict:
    """Fails when a completed value carries the mark of another ledger item and not its own."""
    ledger = ledger_of(log)
    judged = [event for event in log.of("completed") if any(mark in ledger for mark in event.marks)]
    if not judged:
        return Verdict(NAME, None, "no completed value carries the mark of an item")
    for event in judged:
        if event.item not in event.marks:
            return Verdict(NAME, False, *_swapped(log, event, ledger))
    return Verdict(NAME, True, f"{len(judged)} value(s), each with its own item's mark")


def _swapped(log: EventLog, event: Event, ledger: dict[str, None]) -> tuple[str, tuple[str, ...]]:
    other = next(mark for mark in event.marks if mark in ledger)
    summary = f"item {event.item!r} was completed with the answer of {other!r}"
    return summary, (*history(log, event.item or ""), f"the value was {event.value!r}")
