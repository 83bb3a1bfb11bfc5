"""Was each completed item answered?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..events import Event, EventLog
from .exchanges import Exchange, with_lines
from .history import history, ledger_of
from .verdict import Verdict

NAME: Final = "answered"
EXPECTATION: Final = "fallback"

_LISTED: Final = 10


def judge(log: EventLog) -> Verdict:
    """Fails when a declared item was completed and no whole answer to its own requests reached the client.

    An answer is whole when the client was handed its text and the signal that it is finished, both
    unaltered. The answer to a line of a batch is handed over with the file that has its results. Judged are
    items with a declared request for a text, unless the client left one of
    their answers by itself or still reads it, or the value has the mark of an item that did get a
    whole answer. Nothing is judged where fallback values are expected, or where whole answers went
    to requests that belong to no item of the ledger.
    """
    if not log.header.answers:
        return Verdict(NAME, None, "the log does not say which answers were whole")
    asked = _by_item(log)
    if (outside := _outside(log, asked)) is not None:
        return outside
    judged = [event for event in _completed(log) if _is_judged(event, asked)]
    empty = [event for event in judged if not _was_answered(event, asked)]
    if log.header.expects.get(EXPECTATION):
        return Verdict(NAME, None, f"fallback values are expected, and {len(empty)} item(s) had one")
    if empty:
        return _unanswered(log, empty)
    if not judged:
        return Verdict(NAME, None, "no item was completed that declared a request for a text")
    return Verdict(NAME, True, f"{len(judged)} completed item(s), each with a whole answer to a request")


def _by_item(log: EventLog) -> dict[str | None, list[Exchange]]:
    """All requests for a text, those outside the ledger too."""
    found: dict[str | None, list[Exchange]] = {}
    for one in with_lines(log):
        if one.arrived.generates:
            found.setdefault(one.arrived.item, []).append(one)
    return found


def _outside(log: EventLog, asked: dict[str | None, list[Exchange]]) -> Verdict | None:
    ledger = ledger_of(log)
    for item, requests in asked.items():
        if item not in ledger and (whole := next((one for one in requests if one.whole), None)) is not None:
            summary = (
                f"the answer to request {whole.arrived.request} belongs to no item of the ledger, "
                "and any value may come from it"
            )
            return Verdict(NAME, None, summary)
    return None


def _completed(log: EventLog) -> Iterator[Event]:
    """The first result of each item."""
    seen: set[str | None] = set()
    for event in log.of("completed"):
        if event.item not in seen:
            seen.add(event.item)
            yield event


def _is_judged(event: Event, asked: dict[str | None, list[Exchange]]) -> bool:
    own = asked.get(event.item, [])
    if not any(one.arrived.declared for one in own):
        return False
    return _was_answered(event, asked) or not any(one.early or _is_read(one) for one in own)


def _is_read(one: Exchange) -> bool:
    """Whether the client may be reading the answer still; that of a line is not sent until it is fetched."""
    return one.over is None and one.refused is None and one.arrived.batch is None


def _was_answered(event: Event, asked: dict[str | None, list[Exchange]]) -> bool:
    """By one of its own requests, or by that of another item whose mark or answer is in the value."""
    return any(one.whole for item in (event.item, *event.marks, *event.alike) for one in asked.get(item, []))


def _unanswered(log: EventLog, empty: list[Event]) -> Verdict:
    first = empty[0]
    more = f", and {len(empty) - 1} more item(s)" if len(empty) > 1 else ""
    summary = f"item {first.item!r} was completed, but no whole answer to it reached the client{more}"
    value = "no value" if first.value is None else f"the value {first.value!r}"
    lines = [*history(log, first.item or ""), f"it was completed with {value}"]
    if len(empty) > 1:
        others = ", ".join(repr(event.item) for event in empty[1 : _LISTED + 1])
        lines.append(f"the same of: {others}{', …' if len(empty) > _LISTED + 1 else ''}")
    lines.append("if the value is meant as a fallback, declare it: tank.expect(fallback=True)")
    return Verdict(NAME, False, summary, tuple(lines))
