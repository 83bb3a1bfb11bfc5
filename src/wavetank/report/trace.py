"""`trace.json`: a run as Chrome trace events, for Perfetto and speedscope.

The format is that of Google's document "Trace Event Format": complete events (`X`) in threads, flows (`s`
and `f`) from a refusal to the next request of its item, counters (`C`), instants (`i`), and names (`M`).
Its times are in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from ..clock import MICROSECOND, MILLISECOND
from ..events import EventLog, without_surrogates
from .requests import Request, requests, rows_of, words
from .spans import bands, counts, last_instant
from .verdicts import how_it_ended

_NO_TASK: Final = "(not known)"
_MARKED: Final = frozenset(("submitted", "completed", "failed", "cancelled", "violated", "traced"))

_Trace = dict[str, Any]


def trace_json(logs: Sequence[EventLog]) -> bytes:
    """One or several runs, each as a process of the trace; the same logs give the same bytes."""
    events = [event for pid, log in enumerate(logs, start=1) for event in _process(pid, log)]
    document = {"displayTimeUnit": "ms", "traceEvents": without_surrogates(events)}
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _process(pid: int, log: EventLog) -> Iterator[_Trace]:
    title = log.notes.title if log.notes is not None and log.notes.title else log.header.scenario
    yield {"ph": "M", "name": "process_name", "pid": pid, "args": {"name": f"{title}: {how_it_ended(log)}"}}
    threads = _threads(log)
    names = {tid: name for _, tid, name in threads}
    yield from (_thread_name(pid, tid, name) for tid, name in names.items())
    of_request = {one.number: tid for one, tid, _ in threads}
    for one, tid, _ in threads:
        yield from _spans(pid, tid, one, last_instant(log))
    yield from _flows(pid, requests(log), of_request)
    yield from _marks(pid, log, {name: tid for tid, name in reversed(names.items())})
    yield from _bands(pid, log, first=len(names) + 1)
    for count in counts(log):
        for at, value in count.points:
            yield {"ph": "C", "name": count.name, "pid": pid, "ts": _micro(at), "args": {count.name: value}}


def _threads(log: EventLog) -> list[tuple[Request, int, str]]:
    """Each request with its thread of the trace and the name of that.

    Spans of one thread must lie side by side or inside each other, so what a task has under way at the
    same time is in several threads of its name.
    """
    last = last_instant(log)
    by_task: dict[str, list[Request]] = {}
    for one in sorted(requests(log), key=lambda one: (one.sent, one.number)):
        by_task.setdefault(one.task or _NO_TASK, []).append(one)
    found: list[tuple[Request, int, str]] = []
    first = 1
    for task, ones in by_task.items():
        rows = rows_of((one.sent, one.end(last)) for one in ones)
        for one, row in zip(ones, rows, strict=True):
            found.append((one, first + row, task if row == 0 else f"{task} ({row + 1})"))
        first += max(rows) + 1
    return found


def _micro(nanoseconds: int) -> float:
    return nanoseconds / MICROSECOND


def _thread_name(pid: int, tid: int, name: str) -> _Trace:
    return {"ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": name}}


def _spans(pid: int, tid: int, one: Request, last: int) -> Iterator[_Trace]:
    """A request, and inside it what it waited for."""
    end = one.end(last)
    known: dict[str, object] = {
        "request": one.number,
        "item": one.item,
        "model": one.model,
        "place": one.place,
        "status": one.status,
        "scope": one.scope,
        "sent_too_early_ms": one.early_by / MILLISECOND if one.early_by else None,
    }
    args = {name: value for name, value in known.items() if value is not None}
    yield _span(
        pid, tid, f"{one.item or 'request'} · {one.outcome}", one.sent, end, cat=one.outcome, args=args
    )
    replied = end if one.replied is None else one.replied
    first = replied if one.first is None else one.first
    inside = [("in the client", one.sent, one.arrived), ("at the provider", one.arrived, one.held or first)]
    inside += [("held", one.held, first)] if one.held is not None else []
    inside += [("streaming", first, replied)]
    inside += [("on its way back", replied, end)]
    yield from (_span(pid, tid, name, begin, until) for name, begin, until in inside if until > begin)


def _span(pid: int, tid: int, name: str, begin: int, end: int, **more: Any) -> _Trace:
    times = {"ts": _micro(begin), "dur": _micro(end - begin)}
    return {"ph": "X", "name": name, "pid": pid, "tid": tid, **times, **more}


def _flows(pid: int, found: Sequence[Request], tids: dict[int, int]) -> Iterator[_Trace]:
    """From each refusal to the next request of the same item."""
    by_number = {one.number: one for one in found}
    for one in found:
        after = by_number.get(one.again or 0)
        if one.outcome != "refused" or after is None:
            continue
        flow = {"cat": "retry", "name": "retry", "id": f"{pid}.{one.number}", "pid": pid}
        # A flow binds to the span that is under way at its instant.
        yield {"ph": "s", **flow, "tid": tids[one.number], "ts": _micro(one.sent)}
        yield {"ph": "f", "bp": "e", **flow, "tid": tids[after.number], "ts": _micro(after.sent)}


def _marks(pid: int, log: EventLog, tids: dict[str, int]) -> Iterator[_Trace]:
    """What tasks did besides requests."""
    for event in log:
        if event.kind in _MARKED:
            name = f"{event.kind} {event.item}" if event.item is not None else words(event)
            tid = tids.get(event.task or _NO_TASK, 0)
            yield {"ph": "i", "s": "t", "name": name, "pid": pid, "tid": tid, "ts": _micro(event.at)}


def _bands(pid: int, log: EventLog, *, first: int) -> Iterator[_Trace]:
    for tid, band in enumerate(bands(log), start=first):
        yield _thread_name(pid, tid, band.name)
        for span in band.spans:
            yield _span(pid, tid, band.name, span.begin, span.end, cat=band.kind, args={"what": span.text})
