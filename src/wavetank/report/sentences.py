"""What happened in a run, in ten plain sentences.

The first says when trouble began, the second who waited, the third where it went wrong; then comes
the rest. A report of a failure begins with these three.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, final

from ..checks.causes import causes, listed, place
from ..checks.exchanges import Stalls
from ..checks.history import dated, describe
from ..checks.liveness import kind_of_hang
from ..checks.outcomes import outcomes
from ..checks.repetition import repetition
from ..clock import format_duration
from ..events import Event, EventLog, Wait
from ..text import counted, times
from .requests import Request, requests
from .spans import Blocked, bands, blocked, last_instant
from .verdicts import failures, verdicts

FIRST: Final = 3
"""So many sentences stand at the beginning of a failure report."""

_MOST: Final = 10
_LONGEST: Final = 400
"""Characters of a sentence: a verdict or an error in it may be long, and is written out elsewhere."""

_OUTCOMES: Final = frozenset(("completed", "failed", "cancelled"))


@final
@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence, and the instant and the request that it is about, if it is about one."""

    text: str
    at: int | None = None
    request: int | None = None


def explained(log: EventLog) -> tuple[Sentence, ...]:
    """At most ten sentences on what happened."""
    return log.derived(_explained)


def numbered(log: EventLog) -> list[str]:
    """The sentences as lines with their numbers; a failure report begins with the `FIRST` of them."""
    return [f"{number}. {each.text}" for number, each in enumerate(explained(log), start=1)]


def _explained(log: EventLog) -> tuple[Sentence, ...]:
    parts = (
        _trouble,
        _waiting,
        _wrong,
        _others,
        _totals,
        _waves,
        _refusals,
        _order,
        _stalls,
        _unfinished,
        _causes,
    )
    found = (each for part in parts for each in part(log))
    shortened = (
        Sentence(_cut(each.text), each.at, each.request) if len(each.text) > _LONGEST else each
        for each in found
    )
    return tuple(shortened)[:_MOST]


def _cut(text: str) -> str:
    return f"{text[:_LONGEST].rstrip()}…"


# -- the first three ---------------------------------------------------------------------------------


def _trouble(log: EventLog) -> Iterator[Sentence]:
    """The first refusal, or the first fault; or that there was neither."""
    first = next((event for event in log if event.kind == "refused"), None)
    fault = next((event for event in log if event.fault is not None), None)
    if first is not None and (fault is None or first.at <= fault.at):
        yield _first_refusal(log, first)
    elif fault is not None:
        of = "" if fault.item is None else f" for {fault.item!r}"
        text = f"At {format_duration(fault.at)} trouble began{of}: {describe(fault)}."
        yield Sentence(text, fault.at, fault.request)
    else:
        arrived = len(log.of("arrived"))
        some = f"The provider refused none of {counted(arrived, 'request')}."
        yield Sentence(some if arrived else "No request reached the provider.")


def _first_refusal(log: EventLog, refusal: Event) -> Sentence:
    number = refusal.request or 0
    request = next((one for one in requests(log) if one.number == number), None)
    by, where = ("", "") if request is None else (_by(request), _at(request.place))
    asked = (
        f", and asked {_scope(refusal.scope)} to wait {format_duration(refusal.retry_after)}"
        if refusal.retry_after
        else ""
    )
    why = f" ({_reason(refusal)})" if refusal.reason else ""
    text = (
        f"At {format_duration(refusal.at)} the provider refused the first request, number {number}"
        f"{_for(refusal.item)}{by}{where}, with {refusal.status}{why}{asked}."
    )
    return Sentence(text, refusal.at, number)


def _reason(refusal: Event) -> str:
    if refusal.wave is not None and refusal.reason in ("wave", "barrier"):
        return (
            f"{refusal.reason} {refusal.wave + 1}"
            if refusal.reason == "wave"
            else f"barrier, wave {refusal.wave + 1}"
        )
    return f"limit: {refusal.reason}" if refusal.reason != "bad-request" else "a bad request"


def _scope(scope: str | None) -> str:
    kind, _, name = (scope or "account").partition(":")
    return "the whole account" if kind == "account" else f"{kind} {name!r}"


def _for(item: str | None) -> str:
    return "" if item is None else f" for {item!r}"


def _by(request: Request) -> str:
    return "" if request.task is None else f" by {request.task!r}"


def _at(place: str | None) -> str:
    return "" if place is None else f" at {place}"


def _waiting(log: EventLog) -> Iterator[Sentence]:
    """Who waited for whom when the run was stopped; else who came back too early, or that nobody did."""
    waiter = _waiter(blocked(log))
    if waiter is not None:
        yield Sentence(f"When the run was stopped, {_told(waiter)}.", last_instant(log))
        return
    if log.end is not None and log.end.unseen:
        yield Sentence(f"{causes(log)[0]}.", log.end.unseen[0].at)
        return
    held = (
        next((wait for wait in log.end.waits if " by '" in wait.what), None) if log.end is not None else None
    )
    if held is not None:
        yield _quiet(held)
    else:
        yield from _repeats(log)


def _quiet(wait: Wait) -> Sentence:
    """Who waited for what another one held, through a stretch in which nothing else happened."""
    span = f"From {format_duration(wait.since)} to {format_duration(wait.until)}"
    names, where = listed([repr(task) for task in wait.tasks]), place(wait.file, wait.line)
    waited = re.sub("^waits? ", "waited ", wait.what)
    return Sentence(f"{span} nothing else happened: {names}{where} {waited}.", wait.since)


def _waiter(paragraphs: Sequence[Blocked]) -> Blocked | None:
    """The first who waits for what another one holds, but for the culprit."""
    culprit = _culprit(paragraphs)
    return next((each for each in paragraphs if each.holders and each is not culprit), None)


def _repeats(log: EventLog) -> Iterator[Sentence]:
    found = requests(log)
    early = [one for one in found if one.early_by]
    repeats = [one for one in found if one.again is not None and one.outcome == "refused"]
    if early:
        first = early[0]
        text = (
            f"{_were(len(early), 'request')} sent while the provider still asked to wait: the first was "
            f"request {first.number}{_for(first.item)}{_by(first)}{_at(first.place)}, sent "
            f"{format_duration(first.early_by)} too early after the refusal of request {first.early_for}."
        )
        yield Sentence(text, first.sent, first.number)
    elif repeats:
        longest = max(repeats, key=lambda one: _waited(found, one))
        text = (
            f"{_were(len(repeats), 'refused request')} sent again, none before the wait that was asked for "
            f"was over; the longest wait was {format_duration(_waited(found, longest))}{_for(longest.item)}."
        )
        yield Sentence(text, longest.replied, longest.number)
    elif any(one.outcome == "left" for one in found):
        yield _left(found)
    elif log.of("refused"):
        yield Sentence("No refused request was sent again.")
    else:
        yield from _longest_wait(log)


def _left(found: Sequence[Request]) -> Sentence:
    """The requests that their clients did not wait for."""
    left = [one for one in found if one.outcome == "left"]
    first = min(left, key=lambda one: one.over or 0)
    text = (
        f"{_were(len(left), 'request')} left by the client before the reply was there: first, at "
        f"{format_duration(first.over or 0)}, request {first.number}{_for(first.item)}{_by(first)}."
    )
    return Sentence(text, first.over, first.number)


def _were(count: int, thing: str) -> str:
    return f"{counted(count, thing)} {'was' if count == 1 else 'were'}"


def _waited(found: Sequence[Request], one: Request) -> int:
    again = found[(one.again or 1) - 1] if (one.again or 0) <= len(found) else one
    return max(0, again.sent - (one.over or one.sent))


def _longest_wait(log: EventLog) -> Iterator[Sentence]:
    found = [one for one in requests(log) if one.over is not None]
    if found:
        longest = max(found, key=lambda one: (one.over or 0) - one.sent)
        took = format_duration((longest.over or 0) - longest.sent)
        text = f"The longest request took {took}: number {longest.number}{_for(longest.item)}{_by(longest)}."
        yield Sentence(text, longest.sent, longest.number)


def _told(each: Blocked) -> str:
    """`'a', 'b' wait in Semaphore.acquire on permits, held by 'c' (app.py:12)`."""
    names = listed([repr(name) for name in each.names])
    many = len(each.names) > 1 or each.more
    waits = each.waits.replace("waits ", "wait ", 1) if many else each.waits
    frame = f" at {each.frames[-1]}" if each.frames else ""
    return f"{names}{frame} {waits or 'did not go on'}"


def _wrong(log: EventLog) -> Iterator[Sentence]:
    """Where it went wrong: the culprit of a hang, or the verdict that failed; or that nothing did."""
    failed = failures(log)
    end = log.end
    hung = kind_of_hang(log)
    repeated = repetition(log) if hung == "livelock" else ()
    if repeated:
        text = f"It went wrong here (livelock): {'; '.join(repeated[:2])}."
        yield Sentence(text, *_place_of(log, text))
    elif hung is not None and blocked(log):
        culprit = _culprit(blocked(log)) or blocked(log)[0]
        last = _last_of(log, culprit.names)
        since = "" if last is None else f" (last event there: {dated(last)})"
        text = f"It went wrong here ({hung}): {_told(culprit)}{_reason_of(culprit, blocked(log))}{since}."
        yield Sentence(
            text, last_instant(log) if last is None else last.at, None if last is None else last.request
        )
    elif failed:
        yield Sentence(f"It went wrong here: {failed[0].summary}.", *_place_of(log, failed[0].summary))
    elif end is not None and end.error is not None:
        yield Sentence(f"It went wrong here: main raised {end.error} at {format_duration(end.at)}.", end.at)
    else:
        passed = sum(verdict.passed is True for verdict in verdicts(log))
        yield Sentence(f"Nothing went wrong: {counted(passed, 'check')} passed, and none failed.")


def _culprit(paragraphs: Sequence[Blocked]) -> Blocked | None:
    """Whom the others do not explain: who waits for what it holds itself, or for no task and no holder."""
    for_others = ("TaskGroup", "Nursery", "waits for task", "waits for all of")
    holders = {name for each in paragraphs for name in each.holders}
    itself = [each for each in paragraphs if each.holders & {*each.names}]
    alone = [
        each
        for each in paragraphs
        if each.waits and not each.holders and not any(part in each.waits for part in for_others)
    ]
    holding = [each for each in alone if holders & {*each.names}]
    return next(iter((*itself, *holding, *alone, *reversed(paragraphs))), None)


def _reason_of(culprit: Blocked, paragraphs: Sequence[Blocked]) -> str:
    """Why it cannot go on: `; it holds that itself`."""
    names = {*culprit.names}
    if culprit.holders & names:
        return "; it holds that itself"
    if any(names & each.holders and culprit.holders & {*each.names} for each in paragraphs):
        return "; they wait for each other"
    return f"; {culprit.notes[-1]}" if culprit.notes else ""


def _others(log: EventLog) -> Iterator[Sentence]:
    """Who else was blocked, but for those who wait for their tasks."""
    found = blocked(log)
    told = _culprit(found), _waiter(found)
    others = [each for each in found if each.names and each not in told and "TaskGroup" not in each.waits]
    if others and kind_of_hang(log) is not None:
        more = f"; and {counted(len(others) - 2, 'group')} more" if len(others) > 2 else ""
        text = "; ".join(map(_told, others[:2]))
        yield Sentence(f"Also blocked at the end: {text}{more}.", last_instant(log))


def _last_of(log: EventLog, names: Sequence[str]) -> Event | None:
    return next((event for event in reversed(log) if event.task in names), None)


def _place_of(log: EventLog, text: str) -> tuple[int | None, int | None]:
    """The instant and the number of the request that a text names first."""
    found = {f"request {one.number}": one for one in requests(log)}
    words = text.replace(",", " ").replace(":", " ").split()
    for before, number in pairwise(words):
        if before == "request" and (one := found.get(f"request {number}")) is not None:
            return one.sent, one.number
    named = next((event for event in log if event.item is not None and repr(event.item) in text), None)
    return (None, None) if named is None else (named.at, named.request)


# -- the rest ----------------------------------------------------------------------------------------


def _totals(log: EventLog) -> Iterator[Sentence]:
    found, header, took = requests(log), log.header, format_duration(last_instant(log))
    refused = sum(one.outcome == "refused" for one in found)
    items = f" Items: {outcomes(log)}." if log.of("submitted") else ""
    text = (
        f"The scenario was {header.scenario!r} with seed {header.seed} on {header.backend}; "
        f"in {took} there were {counted(len(found), 'request')}, {refused} refused.{items}"
    )
    yield Sentence(text)


def _waves(log: EventLog) -> Iterator[Sentence]:
    spans = [span for band in bands(log) if band.kind == "wave" for span in band.spans]
    if spans:
        more = f"; and {len(spans) - 3} more" if len(spans) > 3 else ""
        text = "; ".join(span.text for span in sorted(spans, key=lambda span: span.begin)[:3])
        yield Sentence(f"{text[:1].upper()}{text[1:]}{more}.", spans[0].begin)


def _refusals(log: EventLog) -> Iterator[Sentence]:
    """Who was refused most."""
    counts: dict[str, int] = {}
    for one in requests(log):
        if one.outcome == "refused" and one.item is not None:
            counts[one.item] = counts.get(one.item, 0) + 1
    if counts:
        item, most = max(counts.items(), key=lambda each: each[1])
        first = next(one for one in requests(log) if one.item == item)
        how_many = counted(len(counts), "item")
        text = f"{how_many} met a refusal; the most had {item!r}, {counted(most, 'refusal')}."
        yield Sentence(text, first.sent, first.number)


def _order(log: EventLog) -> Iterator[Sentence]:
    deviations = log.notes.deviations if log.notes is not None else ()
    orders = [each for each in deviations if each.kind == "run"]
    if orders:
        last = orders[-1]
        text = (
            f"The order of tasks differs from plain FIFO order at {counted(len(orders), 'step')}, last at "
            f"{format_duration(last.at)} (step {last.step}): {last.text}."
        )
        yield Sentence(text, last.at)


def _stalls(log: EventLog) -> Iterator[Sentence]:
    spans = [span for band in bands(log) if band.kind == "stall" for span in band.spans]
    if spans:
        longest = max(spans, key=lambda span: span.end - span.begin)
        total = Stalls(log).within(0, last_instant(log))
        stalled = f" (stalls together {format_duration(total)})" if total else ""
        text = (
            f"Time passed inside the program {times(len(spans))}{stalled}; the longest was a {longest.text}."
        )
        yield Sentence(text, longest.begin)


def _unfinished(log: EventLog) -> Iterator[Sentence]:
    """Items without an outcome, with the last event of the first."""
    done = {event.item for event in log if event.kind in _OUTCOMES}
    still_open = [event.item for event in log.of("submitted") if event.item not in done and event.item]
    if still_open:
        last = next(event for event in reversed(log) if event.item == still_open[0])
        names = listed([repr(item) for item in dict.fromkeys(still_open)])
        verb = "has" if len(still_open) == 1 else "have"
        text = f"{names} {verb} no outcome; the last event of {still_open[0]!r}: {dated(last)}."
        yield Sentence(text, last.at, last.request)


def _causes(log: EventLog) -> Iterator[Sentence]:
    unseen = log.end is not None and log.end.unseen
    lines = causes(log)[1:] if unseen and _waiter(blocked(log)) is None else causes(log)
    if lines:
        text = " ".join(line.strip() for line in lines[:2])
        yield Sentence(f"{text[:1].upper()}{text[1:]}.")
