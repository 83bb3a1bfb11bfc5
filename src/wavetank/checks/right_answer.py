"""Does each item get its own answer?"""

from __future__ import annotations

from ..events import Event, EventLog
from .history import history, ledger_of
from .verdict import Verdict

NAME = "right_answer"


def judge(log: EventLog) -> Verdict:
    """Fails when a completed value carries the mark of another ledger item and not its own.

    The mark of an item that asked the very same is as good. A value of an item without a request
    of its own comes from a cache, and is not judged.
    """
    ledger, questions = ledger_of(log), log.derived(_questions)
    judged = [
        event
        for event in log.of("completed")
        if any(mark in ledger for mark in event.marks)
        and (event.item in questions or event.item in event.marks)
    ]
    if not judged:
        return Verdict(NAME, None, "no completed value of an item with a request carries the mark of an item")
    for event in judged:
        if event.item not in event.marks and not _same_question(event, questions):
            return Verdict(NAME, False, *_swapped(log, event, ledger))
    return Verdict(NAME, True, f"{len(judged)} value(s), each with its own item's mark")


def _questions(log: EventLog) -> dict[str | None, set[int | None]]:
    """What each item asked: of requests that ask the very same, the number of the first."""
    found: dict[str | None, set[int | None]] = {}
    for event in log.of("arrived"):
        found.setdefault(event.item, set()).add(event.same_as or event.request)
    return found


def _same_question(event: Event, questions: dict[str | None, set[int | None]]) -> bool:
    own = questions.get(event.item, set())
    return any(own & questions.get(mark, set()) for mark in event.marks)


def _swapped(log: EventLog, event: Event, ledger: dict[str, None]) -> tuple[str, tuple[str, ...]]:
    other = next(mark for mark in event.marks if mark in ledger)
    summary = f"item {event.item!r} was completed with the answer of {other!r}"
    return summary, (*history(log, event.item or ""), f"the value was {event.value!r}")
