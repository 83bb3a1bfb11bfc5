"""Does an item wait as long as the provider asked it to?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ..clock import MILLISECOND, format_duration
from ..events import Event, EventLog
from .disturbances import disturbed
from .exchanges import scope_covers
from .history import history, ledger_of
from .verdict import Verdict

NAME = "retry_after"
_TOLERANCE: Final = MILLISECOND


class _Heard(NamedTuple):
    """A refusal, and when it had reached the client."""

    refusal: Event
    reached: int


def judge(log: EventLog) -> Verdict:
    """Fails when a declared item asks again too early, in the scope of its last refusal.

    Too early is before the Retry-After, counted from when the refusal was sent. A refusal
    that never reached the client binds no request, and a request that was sent before the
    refusal reached the client is no repeat.
    """
    if (why := disturbed(log)) is not None:
        return Verdict(NAME, None, why)
    judged: dict[int | None, None] = {}
    for request, refusal in _repeats(log):
        judged[request.request] = None
        early = refusal.at + (refusal.retry_after or 0) - _sent(request)
        if early > _TOLERANCE:
            return _too_early(log, request, refusal, early)
    if not judged:
        return Verdict(NAME, None, "no declared item asked again after a Retry-After")
    return Verdict(NAME, True, f"{len(judged)} repeat(s), none before its Retry-After")


def _repeats(log: EventLog) -> Iterator[tuple[Event, Event]]:
    """Each request with each refusal that bound its item when it was sent."""
    ledger = ledger_of(log)
    refusals: dict[int, Event] = {}
    heard: dict[str, dict[str, _Heard]] = {}
    for event in log:
        if event.request is None or event.item is None or (ledger and event.item not in ledger):
            continue
        if event.kind == "refused" and event.scope is not None:
            refusals[event.request] = event
        elif event.kind == "delivered" and event.request in refusals:
            refusal = refusals[event.request]
            heard.setdefault(event.item, {})[refusal.scope or ""] = _Heard(refusal, event.at)
        elif event.kind == "arrived" and event.declared and event.batch is None:
            for refusal, reached in heard.get(event.item, {}).values():
                binds = refusal.retry_after is not None and scope_covers(refusal.scope, event)
                if binds and _sent(event) >= reached:
                    yield event, refusal


def _sent(request: Event) -> int:
    return request.at if request.sent is None else request.sent


def _too_early(log: EventLog, request: Event, refusal: Event, early: int) -> Verdict:
    asked = format_duration(refusal.retry_after or 0)
    summary = (
        f"item {request.item!r} asked again {format_duration(early)} too early: request {refusal.request} "
        f"was refused at {format_duration(refusal.at)} with Retry-After {asked}"
    )
    return Verdict(NAME, False, summary, history(log, request.item or ""))
