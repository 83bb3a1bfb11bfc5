"""Does each item get its own answer?"""

from __future__ import annotations

from ..events import Event, EventLog
from .history import history, ledger_of
from .verdict import Verdict

NAME = "right_answer"

_Questions = dict[str | None, set[int | None]]


def judge(log: EventLog) -> Verdict:
    """Fails when a completed value carries the mark of another ledger item and not its own.

    The mark of an item that asked the very same is as good. A value of an item without a request
    of its own comes from a cache, and is not judged.

    Answers without a mark are known by their text. A value that is the answer of another item, and not
    its own, fails only if its own answer went to another item in turn: no pipeline that rewrites its
    answers does that, only one that exchanges them.
    """
    ledger, questions = ledger_of(log), log.derived(_questions)
    named = [event for event in log.of("completed") if _is_named(event, ledger, questions)]
    exchanged = {item for event in named if event.item not in event.alike for item in event.alike}
    judged = [
        event for event in named if event.item in _owners(event) or event.marks or event.item in exchanged
    ]
    if not judged:
        return Verdict(NAME, None, "no completed value of an item with a request says whose answer it is")
    for event in judged:
        if event.item not in _owners(event) and not _same_question(event, questions):
            return Verdict(NAME, False, *_swapped(log, event, ledger))
    own = "mark" if all(event.marks for event in judged) else "answer"
    return Verdict(NAME, True, f"{len(judged)} value(s), each with its own item's {own}")


def _owners(event: Event) -> tuple[str, ...]:
    """Whose answer a value is: by its marks, or else by its text."""
    return event.marks or event.alike


def _is_named(event: Event, ledger: dict[str, None], questions: _Questions) -> bool:
    owners = _owners(event)
    return any(item in ledger for item in owners) and (event.item in questions or event.item in owners)


def _questions(log: EventLog) -> _Questions:
    """What each item asked: of requests that ask the very same, the number of the first."""
    found: _Questions = {}
    for event in log.of("arrived"):
        found.setdefault(event.item, set()).add(event.same_as or event.request)
    return found


def _same_question(event: Event, questions: _Questions) -> bool:
    own = questions.get(event.item, set())
    return any(own & questions.get(item, set()) for item in _owners(event))


def _swapped(log: EventLog, event: Event, ledger: dict[str, None]) -> tuple[str, tuple[str, ...]]:
    other = next(item for item in _owners(event) if item in ledger)
    summary = f"item {event.item!r} was completed with the answer of {other!r}"
    return summary, (*history(log, event.item or ""), f"the value was {event.value!r}")
