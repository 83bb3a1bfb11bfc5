"""What a failed check found, as one sentence that names values, lines and moments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ..checks.causes import listed
from ..checks.verdict import Verdict
from ..clock import format_duration
from ..events import Event, EventLog
from .requests import place_of, requests
from .sentence import by_task, for_item

_ITEM: Final = re.compile(r"""\bitem ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_COUNT: Final = re.compile(r"the count '([^']*)'")
_REQUEST: Final = re.compile(r"\brequest (\d+)\b")
_MORE: Final = re.compile(r", and \d+ more finding\(s\)$")
_ITS_OUTCOME: Final = ("completed", "lost", "paid", "took", "reported")
"""Words of findings on what came of an item."""
_VALUE: Final = 60
"""Characters of a completed value that stand in a sentence."""


def finding(log: EventLog, verdict: Verdict) -> str:
    """The summary of a failed check, and what a reader asks next: which value, which line, which others."""
    summary = verdict.summary
    others = next((line for line in verdict.evidence if line.startswith("and ")), "")
    if _MORE.search(summary) and others:
        head, colon, names = others.partition(": ")
        shown = f"{head}{colon}{listed(names.split(', '))}" if colon else head
        summary = f"{_MORE.sub('', summary)}, {shown}"
    return "; ".join((summary, *_details(log, verdict)))


def _details(log: EventLog, verdict: Verdict) -> Iterator[str]:
    summary = verdict.summary
    count, request, item = (each.search(summary) for each in (_COUNT, _REQUEST, _ITEM))
    if count is not None:
        yield from _last_change(log, count[1])
    elif "in flight" in summary:
        named = [found for line in verdict.evidence for found in _REQUEST.findall(line)]
        yield from (f"the last of them was {_sent(log, int(number))}" for number in named[-1:])
    elif item is not None and any(word in summary for word in _ITS_OUTCOME):
        yield from _of_item(log, item[1], value="completed" in summary)
    elif request is not None and "refused" not in summary:
        yield _sent(log, int(request[1]))


def _last_change(log: EventLog, name: str) -> Iterator[str]:
    watched = log.end.watched.get(name) if log.end is not None else None
    if watched is None or not watched.changes:
        return
    at, value = watched.changes[-1]
    around = [event for event in log if event.at == at and event.file is not None]
    after = f", when {_who(around[-1])}" if around else ""
    yield f"it last changed at {format_duration(at)}, to {value}{after}"


def _sent(log: EventLog, number: int) -> str:
    one = next(one for one in requests(log) if one.number == number)
    where = "" if one.place is None else f" at {one.place}"
    return f"request {number}{for_item(one.item)}{by_task(one)}{where}"


def _of_item(log: EventLog, name: str, *, value: bool) -> Iterator[str]:
    own = [event for event in log if repr(event.item) == name]
    completed = next((event for event in own if event.kind == "completed"), None)
    if completed is not None and value:
        text = completed.value or ""
        shown = repr(text) if len(text) <= _VALUE else f"{text[:_VALUE]!r}…"
        yield f"the value was {shown}, at {format_duration(completed.at)}{_where(completed)}"
    elif placed := [event for event in own if event.file is not None and event.kind != "submitted"]:
        yield f"the last done for it: {_who(placed[-1])}, at {format_duration(placed[-1].at)}"


def _who(event: Event) -> str:
    """`request 5 was sent by 'work#2' at app.py:12`."""
    what = {"arrived": f"request {event.request} was sent"}.get(
        event.kind, f"{event.item!r} was reported as {event.kind}"
    )
    return f"{what}{_where(event)}"


def _where(event: Event) -> str:
    by = "" if event.task is None else f" by {event.task!r}"
    return f"{by} at {place_of(event)}" if event.file is not None else by
