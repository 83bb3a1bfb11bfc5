"""What happened to an item, according to the event log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from ..clock import format_duration
from ..events import BY_ANSWER, Event, EventKind, EventLog
from ..fault_kinds import OUTAGES

_TOLD: Final = 10
"""So many events from each end of a long story."""
_A_FEW: Final = 3
"""One or two requests are soon counted."""

_UNANSWERED: Final = {
    "failed": "failed",
    "missing": "got no result",
    "expired": "expired",
    "cancelled": "was cancelled",
    "": "was left unread",
}
"""How a line of a batch ended without an answer; without a reason the client left the file of its results."""

_ENTERED: Final[tuple[EventKind, ...]] = ("submitted", "completed", "failed", "cancelled")
"""What the program reported of an item."""

_SESSIONS: Final[tuple[EventKind, ...]] = ("interrupted", "restarted")


def history(log: EventLog, item: str) -> tuple[str, ...]:
    """The events of one item as sentences, a line each, with their instants; a long story is shortened.

    An interruption of the program and its next session belong to the story of every item. The last line of
    an item that was asked for often and never answered is the sum of its requests.
    """
    events = [event for event in log if event.item == item or event.kind in _SESSIONS]
    if len(events) <= 2 * _TOLD + 1:
        return (*map(dated, events), *sum_of(events))
    lines: list[str] = []
    left_out = 0
    for number, event in enumerate(events):
        if _TOLD <= number < len(events) - _TOLD and event.kind not in (*_ENTERED, *_SESSIONS):
            left_out += 1
            continue
        if left_out:
            lines.append(f"… {left_out} more events …")
            left_out = 0
        lines.append(dated(event))
    return (*lines, *sum_of(events))


def sum_of(events: Sequence[Event]) -> Iterator[str]:
    """What became of the requests of one item that has no answer, in a line, if there were a few."""
    asked = sum(event.kind == "arrived" for event in events)
    answered = any(event.kind in ("answered", "delivered") and event.status == 200 for event in events)
    refused = Counter(event.status for event in events if event.kind == "refused")
    if asked < _A_FEW or answered or not refused:
        return
    if refused.total() == asked and len(refused) == 1:
        yield f"in all {asked} requests, each refused with {next(iter(refused))}"
        return
    parts = [f"{count} refused with {status}" for status, count in refused.items()]
    rest = [f"{asked - refused.total()} without a reply"] if asked > refused.total() else []
    yield f"in all {asked} requests: {', '.join([*parts, *rest])}"


def dated(event: Event, *, named: bool = False) -> str:
    """One event as a sentence with its instant; `named` puts the item in front."""
    whose = f"{event.item!r}: " if named and event.item is not None else ""
    return f"at {format_duration(event.at)}: {whose}{describe(event)}"


def unmatched(log: EventLog) -> str | None:
    """What to say when the ledger and the requests have no item in common, so that little can be judged."""
    ledger = ledger_of(log)
    asked = {event.item: None for event in log.of("arrived") if event.item is not None}
    if not ledger or not asked or any(item in ledger for item in asked):
        return None
    return (
        f"no request matches an item of the ledger: it has {next(iter(ledger))!r}, the first request was "
        f"for {next(iter(asked))!r}. Name the item in the header x-wavetank-item or in metadata.item of the "
        "body, or set fake_llm.item_of; until then payments and answers are not judged"
    )


def ledger_of(log: EventLog) -> dict[str, None]:
    """The items that were entered in the ledger; all others are judged for nothing."""
    return log.derived(_entered)


def _entered(log: EventLog) -> dict[str, None]:
    entered = log.of(*_ENTERED)
    return {event.item: None for event in entered if event.item is not None}


def describe(event: Event) -> str:
    """One event in words, and who did it where in the program."""
    error = f": {event.error}" if event.kind == "failed" else ""
    return f"{happened(event)}{_by(event)}{error}"


def _by(event: Event) -> str:
    who = f" by {event.task!r}" if event.task is not None and event.kind != "interrupted" else ""
    return f"{who} at {event.file}:{event.line}" if event.file is not None else who


def fault_source(fault: int) -> str:
    """What made an answer meet the fault of this number."""
    return "fake_llm.answer" if fault == BY_ANSWER else f"the scenario's fault {fault + 1}"


def happened(event: Event) -> str:
    """One event in words, without who did it where."""
    number = f"request {event.request}"
    match event.kind:
        case "arrived" if event.batch is not None:
            return f"{number} began in {event.batch} at {event.host or 'the provider'} ({event.model})"
        case "arrived" if event.target is not None:
            return f"{number} arrived at {event.host or 'the provider'} ({event.target})"
        case "arrived":
            return f"{number} arrived at {event.host or 'the provider'} ({event.model})"
        case "answer-failed":
            return f"fake_llm.answer failed for {number}: {event.error}"
        case "held" if event.fault is not None:
            return f"{number} has no whole answer, by {fault_source(event.fault)} ({event.reason})"
        case "held":
            return f"{number} was held by a barrier"
        case "refused":
            header = f" ({event.header})" if event.header else ""
            wait = (
                f", retry after {format_duration(event.retry_after)}{header}" if event.retry_after else header
            )
            return f"{number} was refused with {event.status}{wait}"
        case "answered" if event.batch is not None:
            return f"{number} was answered in {event.batch} (paid)"
        case "answered" if event.fault is not None:
            whose = "the scenario" if event.fault != BY_ANSWER else "fake_llm.answer"
            return f"{number} was answered, with {whose}'s fault ({event.reason})"
        case "answered":
            return f"{number} was answered"
        case "delivered" if event.fault is not None:
            return f"the spoiled answer to {number} reached the client"
        case "delivered" if event.batch is not None:
            return f"the answer to {number} was fetched"
        case "delivered" if event.status == 200:
            return f"the answer to {number} was delivered (paid)"
        case "delivered":
            return f"the refusal of {number} reached the client"
        case "left" if event.batch is not None:
            return f"{number} {_UNANSWERED.get(event.reason or '', _UNANSWERED[''])} in {event.batch}"
        case "left" if event.request is None:
            where = "" if event.host is None else f" to {event.host}"
            return f"a connection{where} failed, by the scenario's fault ({event.reason})"
        case "left" if event.fault is not None and event.reason in OUTAGES:
            return (
                f"{number} ended without a byte, by the scenario's fault {event.fault + 1} ({event.reason})"
            )
        case "left" if event.fault is not None:
            return f"{number} ended without a whole answer"
        case "left":
            return f"the client hung up on {number}"
        case _:
            return _beside_requests(event)


_HAPPENED: Final = {"started": "started", "paused": "was paused", "restarted": "was started again"}


def _beside_requests(event: Event) -> str:
    """An event that is about no request to the provider."""
    match event.kind:
        case "unknown-host":
            return f"{event.target or 'a connection'} to {event.host} was refused: an unknown host"
        case "app-failed":
            return f"the app for {event.host} raised {event.error_type}: {event.error}"
        case "stalled" if event.since is not None:
            where = "within one step" if event.reason == "blocking" else "between two steps"
            return f"time had passed {where} of the program since {format_duration(event.since)}"
        case "traced":
            since = "" if event.since is None else f" since {format_duration(event.since)}"
            return f"{event.primitive}: {event.action} by {event.task!r}{since}"
        case "paused":
            until = "" if event.until is None else f" until {format_duration(event.until)}"
            return f"the gate {event.scope} is paused{until}"
        case "resumed":
            return f"the gate {event.scope} lets the first request go on"
        case "interrupted":
            return "the program was interrupted, as by Ctrl-C, where main waited"
        case "restarted":
            return "the program began again on what it had kept"
        case "unreported":
            return (
                f"the answer to request {event.request} had reached a task that was cancelled, or "
                "interrupted, before it could report the item"
            )
        case "violated":
            return f"{event.reason!r} did not hold any more: {event.error}"
        case "command":
            return f"{event.target} ran on {event.host}"
        case "replica":
            until = "" if event.until is None else f" until {format_duration(event.until)}"
            return f"replica {event.task!r} {_HAPPENED.get(event.action or '', event.action)}{until}"
        case "wave-opened":
            return f"wave {(event.wave or 0) + 1} opened"
        case "wave-closed":
            return f"wave {(event.wave or 0) + 1} closed"
        case "failed":
            return "reported as failed"
        case _:
            return event.kind
