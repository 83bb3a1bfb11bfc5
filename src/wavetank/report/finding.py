"""What a failed check found, as one sentence that names values, lines and moments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from ..checks.causes import listed
from ..checks.verdict import Verdict
from ..clock import format_duration
from ..events import Event, EventLog
from .requests import TOLERANCE, place_of, requests
from .sentence import by_task, for_item

_ITEM: Final = re.compile(r"""\bitem ('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_NAME: Final = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_OTHERS: Final = ("and ", "the same of: ")
_LISTS: Final = ("item ", *_OTHERS)
"""How the lines of a verdict begin that name items."""
_COUNT: Final = re.compile(r"the count '([^']*)'")
_REQUEST: Final = re.compile(r"\brequest (\d+)\b")
_MORE: Final = re.compile(r", and \d+ more (?:finding|item)\(s\)$")
_ITS_OUTCOME: Final = ("completed", "lost", "paid", "took", "reported", "got no answer")
"""Words of findings on what came of an item."""
_VALUE: Final = 60
"""Characters of a completed value that stand in a sentence."""


def finding(log: EventLog, verdict: Verdict) -> str:
    """The summary of a failed check, and what a reader asks next: which value, which line, which others."""
    summary = verdict.summary
    others = next((line for line in verdict.evidence if line.startswith(_OTHERS)), "")
    if _MORE.search(summary) and others:
        head, colon, names = others.partition(": ")
        shown = f"{head}{colon}{listed(names.split(', '))}" if colon else head
        shown = shown.replace("the same of: ", "and the same of ")
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
        yield from _of_item(log, item[1], value="completed" in summary or "no answer" in summary)
    elif request is not None and "refused" not in summary:
        yield _sent(log, int(request[1]))


def instant_of(log: EventLog, verdict: Verdict) -> tuple[int | None, int | None]:
    """When what a check found went wrong, and at which request; seldom the first event of the item."""
    summary, end = verdict.summary, None if log.end is None else log.end.at
    count, request, item = (each.search(summary) for each in (_COUNT, _REQUEST, _ITEM))
    if count is not None:
        watched = log.end.watched.get(count[1]) if log.end is not None else None
        return (watched.changes[-1][0] if watched is not None and watched.changes else end), None
    if item is not None and request is not None and "asked again" in summary:
        return _repeat(log, item[1], int(request[1]))
    named = [int(found) for line in verdict.evidence for found in _REQUEST.findall(line)]
    if item is None and request is None and named:
        return _of_request(log, named[-1 if "in flight" in summary else 0], summary)
    if request is not None:
        return _of_request(log, int(request[1]), summary)
    own = [event for event in log if event.item is not None and repr(event.item) in summary]
    return _last_deed([each for each in own if each.item == own[0].item], summary, end)


def _repeat(log: EventLog, item: str, number: int) -> tuple[int | None, int | None]:
    """The request of an item that came while the refusal of this request still asked to wait."""
    refused = next((one for one in requests(log) if one.number == number), None)
    until = 0 if refused is None else refused.free_from or 0
    since = 0 if refused is None else refused.over or 0
    later = [one for one in requests(log) if repr(one.item) == item and one.number != number]
    found = next((one for one in later if since <= one.sent < until - TOLERANCE), refused)
    return (None, None) if found is None else (found.sent, found.number)


def _of_request(log: EventLog, number: int, summary: str) -> tuple[int | None, int | None]:
    one = next((one for one in requests(log) if one.number == number), None)
    if one is None:
        return None, None
    return (one.replied if "neither read" in summary else one.sent), one.number


def _last_deed(own: list[Event], summary: str, end: int | None) -> tuple[int | None, int | None]:
    """When an item came to its last outcome, or to the answer that was too many; else the end of the run."""
    answers = "paid" in summary or "was answered" in summary
    kinds = ("delivered",) if answers else ("completed", "failed", "cancelled")
    found = next((event for event in reversed(own) if event.kind in kinds), None)
    number = next((event.request for event in reversed(own) if event.request is not None), None)
    return (end if found is None else found.at), number


def accused(log: EventLog, verdicts: Iterable[Verdict]) -> list[str]:
    """The items whose outcome a failed check names: their marks must not look like good ones."""
    failed = [each for each in verdicts if each.passed is False and _ITEM.search(each.summary)]
    failed = [each for each in failed if any(word in each.summary for word in _ITS_OUTCOME)]
    lines = [line for each in failed for line in (each.summary, *each.evidence) if line.startswith(_LISTS)]
    named = {name for line in lines for name in _NAME.findall(line)}
    items = dict.fromkeys(event.item for event in log if event.item is not None)
    return [item for item in items if repr(item) in named]


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
    if event.kind == "interrupted":
        return f"the program was interrupted; main waited at {place_of(event)}"
    what = {"arrived": f"request {event.request} was sent", "submitted": f"{event.item!r} was submitted"}.get(
        event.kind, f"{event.item!r} was reported as {event.kind}"
    )
    return f"{what}{_where(event)}"


def _where(event: Event) -> str:
    by = "" if event.task is None else f" by {event.task!r}"
    return f"{by} at {place_of(event)}" if event.file is not None else by
