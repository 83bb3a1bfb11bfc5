"""The first three sentences: when trouble began, who waited, where it went wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, cast

from msgspec.structs import replace

from ..checks.causes import causes, listed, place
from ..checks.history import dated, describe
from ..checks.liveness import kind_of_hang
from ..checks.repetition import repetition
from ..checks.verdict import Verdict
from ..clock import format_duration
from ..events import Event, EventLog, Wait
from ..fault_kinds import FaultKind
from ..text import counted
from .blocked import Blocked, alike, blocked, culprit_of, reason_of, told, waiter_of
from .circumstances import left_unread, without_outcome
from .finding import finding, instant_of
from .requests import Request, place_of, requests, unread
from .sentence import Sentence, by_task, for_item, never_read, were
from .spans import last_instant
from .verdicts import failures, how_it_ended, verdicts
from .waited_for import it_is

_FOR_TASKS: Final = ("waits for all of", "waits for task", "waits in TaskGroup", "waits in Nursery")
_ABOUT_WAITS: Final = ("retry_after", "shared_pause", "no_storm", "no_herd", "request_rate")
"""Checks that fail by when requests are sent."""

_ALSO_SEEN: Final = "Also seen: "
_FAULTS: Final[dict[FaultKind, str]] = {
    "connection-refused": "the client could not connect",
    "dns-failure": "the name of the host was not found",
    "connect-timeout": "nothing answered when the client connected",
    "bad-certificate": "a certificate that cannot be trusted",
    "no-answer": "not a byte came back",
    "reset": "the connection was reset without an answer",
    "closed": "the connection was closed without an answer",
    "reset-after-headers": "headers, and then the connection was reset",
    "cut-mid-stream": "a part of the answer, and then the connection ended",
    "stall-before-headers": "nothing for a while, and then the answer",
    "stall": "nothing for a while in the middle of the answer",
    "slow-trickle": "the answer in its pieces, over a long time",
    "malformed-chunk": "a stream with an event that is no JSON",
    "truncated-json": "half of the body, with the proper end of a response",
    "missing-end": "a stream without the event that ends it",
    "duplicate-event": "a stream with one event twice",
    "error-in-stream": "an error in a response with status 200",
    "length-too-long": "the whole body, and a Content-Length of more, until the connection ended",
    "length-too-short": "half of the body, and a Content-Length as if that were all",
    "empty-body": "status 200 and no body",
    "html-body": "an HTML page in place of the answer",
    "bad-gzip": "an answer that is said to be compressed, and is not",
    "malformed-status-line": "a first line that is not HTTP",
    "malformed-headers": "a status, and a line that is no header",
    "malformed-chunk-size": "a body in chunks, of which one has no size",
}
"""What was sent, or what happened, by the kind of fault; one of a package has only its name."""


def trouble(log: EventLog) -> Iterator[Sentence]:
    """The first refusal, or the first fault; or that there was neither."""
    first = next((event for event in log if event.kind == "refused"), None)
    fault = next((event for event in log if event.fault is not None), None)
    if first is not None and (fault is None or first.at <= fault.at):
        yield _first_refusal(log, first)
    elif fault is not None:
        of = "" if fault.item is None else f" for {fault.item!r}"
        meant = f": {meaning}" if (meaning := _FAULTS.get(cast(FaultKind, fault.reason))) else ""
        text = f"At {format_duration(fault.at)} trouble began{of}: {describe(fault)}{meant}."
        yield Sentence(text, fault.at, fault.request)
    else:
        arrived = len(log.of("arrived"))
        if not arrived:
            yield Sentence("No request reached the provider.")
        elif found := unread(log):
            text = f"The provider refused none of {counted(arrived, 'request')}, but {never_read(found)}."
            yield Sentence(text, found[0].replied, found[0].number)
        else:
            yield Sentence(f"The provider refused none of {counted(arrived, 'request')}.")


def _first_refusal(log: EventLog, refusal: Event) -> Sentence:
    number = refusal.request or 0
    request = next((one for one in requests(log) if one.number == number), None)
    by, where = ("", "") if request is None else (by_task(request), _at(request.place))
    asked = (
        f", and asked {_scope(refusal.scope)} to wait {format_duration(refusal.retry_after)}"
        if refusal.retry_after
        else ""
    )
    why = f" ({_reason(refusal)})" if refusal.reason else ""
    text = (
        f"At {format_duration(refusal.at)} the provider refused the first request, number {number}"
        f"{for_item(refusal.item)}{by}{where}, with {refusal.status}{why}{asked}."
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
    """`the whole account`, `model 'm'`, `key 'key-1' at host 'example.com'`."""
    if scope is not None and scope.startswith("host:"):
        host, _, rest = scope.removeprefix("host:").partition("/")
        return f"{_scope(rest)} at host {host!r}" if rest else f"host {host!r}"
    kind, _, name = (scope or "account").partition(":")
    return "the whole account" if kind == "account" else f"{kind} {name!r}"


def _at(place: str | None) -> str:
    return "" if place is None else f" at {place}"


def waiting(log: EventLog, passing: EventLog | None = None) -> Iterator[Sentence]:
    """Who waited for whom when the run was stopped; else who came back too early, or that no task did.

    What the nearest run that passes does as well is said to be no cause.
    """
    waiter = waiter_of(blocked(log))
    if waiter is not None:
        yield Sentence(f"When the run was stopped, {told(waiter)}.", last_instant(log))
        return
    if log.end is not None and log.end.unseen:
        yield Sentence(f"{causes(log)[0]}.", log.end.unseen[0].at)
        return
    held = (
        next((wait for wait in log.end.waits if " by '" in wait.what), None) if log.end is not None else None
    )
    quiet = held or (None if log.of("refused") or how_it_ended(log) == "passed" else _longest(log))
    if quiet is not None:
        yield _quiet(log, quiet)
    else:
        yield from _repeats(log, passing)


def _longest(log: EventLog) -> Wait | None:
    """A wait for something else than tasks, in the longest stretch."""
    waits = [wait for wait in log.end.waits if not wait.what.startswith(_FOR_TASKS)] if log.end else []
    return max(waits, key=lambda wait: wait.until - wait.since, default=None)


def _quiet(log: EventLog, first: Wait) -> Sentence:
    """Who waited for the same thing through a stretch in which nothing else happened."""
    alike = [each for each in log.end.waits if each.since == first.since] if log.end is not None else []
    tasks = [task for each in alike if each.what == first.what for task in each.tasks]
    wait = replace(first, tasks=tuple(tasks))
    span = f"From {format_duration(wait.since)} to {format_duration(wait.until)}"
    names, where = listed([repr(task) for task in wait.tasks]), place(wait.file, wait.line)
    waited = re.sub("^waits? ", "waited ", wait.what)
    return Sentence(f"{span} nothing else happened: {names}{where} {waited}.", wait.since)


def _repeats(log: EventLog, passing: EventLog | None) -> Iterator[Sentence]:
    found = requests(log)
    early = [one for one in found if one.early_by]
    repeats = [one for one in found if one.again is not None and one.outcome == "refused"]
    if early:
        also = () if passing is None else [one for one in requests(passing) if one.early_by]
        beside = bool(also) if passing is not None else not _is_about_waits(log)
        yield _too_early(found, early, len(also), beside=beside)
    elif unheeded := tuple(left_unread(log)):
        yield from unheeded
    elif repeats:
        yield _in_time(found, repeats)
    elif any(one.outcome == "left" for one in found):
        yield _left(found)
    elif log.of("refused"):
        yield Sentence("No refused request was sent again.")
    else:
        yield from _longest_wait(log)


def _is_about_waits(log: EventLog) -> bool:
    """Whether requests that came too early may be what went wrong, as far as the log of one run says."""
    hang = kind_of_hang(log)
    if hang is not None or how_it_ended(log) == "passed":
        return hang != "deadlock"
    return any(verdict.name in _ABOUT_WAITS for verdict in failures(log))


def _left(found: Sequence[Request]) -> Sentence:
    """The requests that their clients did not wait for."""
    left = [one for one in found if one.outcome == "left"]
    first = min(left, key=lambda one: one.over or 0)
    text = (
        f"{were(len(left), 'request')} left by the client before the reply was there: first, at "
        f"{format_duration(first.over or 0)}, request {first.number}{for_item(first.item)}{by_task(first)}."
    )
    return Sentence(text, first.over, first.number)


def _too_early(found: Sequence[Request], early: Sequence[Request], also: int, *, beside: bool) -> Sentence:
    first = early[0]
    answered = sum(one.outcome == "answered" for one in early)
    begin = f"{were(len(early), 'request')} sent while the provider still asked to wait"
    begin = f"{_ALSO_SEEN}{begin}" if beside else begin
    begin += f" ({answered} of them {'was' if answered == 1 else 'were'} answered)" if answered else ""
    if also:
        such = "1 such request" if also == 1 else f"{also} such requests"
        text = f"{begin}. That is not the cause: the run that passes has {such} too."
        return Sentence(text, beside=beside)
    text = (
        f"{begin}: the first was request "
        f"{first.number}{for_item(first.item)}{by_task(first)}{_at(first.place)}, sent "
        f"{format_duration(first.early_by)} too early after the refusal of {_refused(found, first)}."
    )
    return Sentence(text, first.sent, first.number, beside)


def _refused(found: Sequence[Request], early: Request) -> str:
    """`request 3`, and of which item and for whom it was, where that is another one's."""
    refused = next((one for one in found if one.number == early.early_for), None)
    if refused is None or refused.item in (None, early.item):
        return f"request {early.early_for}"
    return f"request {early.early_for} (of {refused.item!r}, for {_scope(refused.scope)})"


def _in_time(found: Sequence[Request], repeats: Sequence[Request]) -> Sentence:
    """How the refused requests were sent again, none of them too early."""
    sent = {one.number: one.sent for one in found}
    waited = {one.number: max(0, sent[one.again or 0] - (one.over or one.sent)) for one in repeats}
    longest = max(repeats, key=lambda one: waited[one.number])
    asked = any(one.free_from is not None for one in repeats)
    how = "none before the wait that was asked for was over" if asked else "and no refusal asked for a wait"
    text = (
        f"{were(len(repeats), 'refused request')} sent again, {how}; the longest wait was "
        f"{format_duration(waited[longest.number])}{for_item(longest.item)}."
    )
    return Sentence(text, longest.replied, longest.number)


def _longest_wait(log: EventLog) -> Iterator[Sentence]:
    found = [one for one in requests(log) if one.over is not None]
    if not found and requests(log):
        yield Sentence("No reply reached a client.")
    elif found:
        longest = max(found, key=lambda one: (one.over or 0) - one.sent)
        took = format_duration((longest.over or 0) - longest.sent)
        if took == "0s":
            yield Sentence("No request took any time.")
            return
        which = f"number {longest.number}{for_item(longest.item)}{by_task(longest)}"
        text = f"The longest request took {took}: {which}."
        yield Sentence(text, longest.sent, longest.number)


def wrong(log: EventLog) -> Iterator[Sentence]:
    """Where it went wrong: the culprit of a hang, or the verdict that failed; or that nothing did."""
    failed = failures(log)
    end = log.end
    hung = kind_of_hang(log)
    repeated = repetition(log) if hung == "livelock" else ()
    if repeated:
        latest = next(event for event in reversed(log) if event.kind == "arrived")
        by = "" if latest.task is None else f", last by {latest.task!r}{_at(place_of(latest))}"
        text = f"It went wrong here (livelock): {'; '.join(repeated[:2])}{by}."
        yield Sentence(text, latest.at, latest.request)
    elif hung is not None and blocked(log):
        culprit = culprit_of(blocked(log)) or blocked(log)[0]
        last = _last_of(log, culprit.names)
        reason = reason_of(culprit, blocked(log))
        who = f"{told(culprit)}{_as_well(log, culprit)}"
        text = f"It went wrong here ({hung}): {who}{reason}{_story_of(log, culprit, last)}."
        yield Sentence(
            text, last_instant(log) if last is None else last.at, None if last is None else last.request
        )
    elif failed:
        worst = _most_telling(failed)
        text = f"It went wrong here: {finding(log, worst)}."
        yield Sentence(text, *instant_of(log, worst))
    elif end is not None and end.error is not None:
        yield Sentence(f"It went wrong here: main raised {end.error} at {format_duration(end.at)}.", end.at)
    else:
        passed = sum(verdict.passed is True for verdict in verdicts(log))
        yield Sentence(f"Nothing went wrong: {counted(passed, 'check')} passed, and none failed.")


def _story_of(log: EventLog, culprit: Blocked, last: Event | None) -> str:
    """What else is known: who has ended, where it waits in an object; what it waits for; its last event."""
    if culprit.inner is not None:
        return "".join(f"; {part}" for part in _what_is_left(log))
    if not culprit.holders and (known := it_is(log, culprit.names)):
        return f"; {known}"
    return "" if last is None else f" (last event there: {dated(last)})"


def _as_well(log: EventLog, culprit: Blocked) -> str:
    """`, and so does 'b'`: who waits for the same at the same place in an object."""
    names = [repr(name) for each in alike(culprit, blocked(log)) for name in each.names]
    if culprit.inner is None or not names:
        return ""
    return f", and so {'does' if len(names) == 1 else 'do'} {listed(names)}"


def _what_is_left(log: EventLog) -> Iterator[str]:
    """Who has ended, and how much is not done: the state of a queue that a program has built."""
    senders = {one.task for one in requests(log)}
    ended = [repr(each.task) for each in log.end.tasks if each.task in senders] if log.end is not None else []
    if ended:
        yield f"{listed(ended)} had ended by then"
    if missing := without_outcome(log):
        yield f"{counted(len(missing), 'item')} {'has' if len(missing) == 1 else 'have'} no outcome"


def _most_telling(failed: Sequence[Verdict]) -> Verdict:
    """Of a check that misses an answer and one that says what came in its place: the latter."""
    if "got no answer" in failed[0].summary:
        return next((each for each in failed if each.name == "answered"), failed[0])
    return failed[0]


def _last_of(log: EventLog, names: Sequence[str]) -> Event | None:
    return next((event for event in reversed(log) if event.task in names and event.kind != "submitted"), None)
