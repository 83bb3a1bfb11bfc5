"""Are there never more requests in flight than declared?"""

from __future__ import annotations

from typing import Final

from ..clock import format_duration
from ..events import Event, EventLog
from .history import dated, ledger_of
from .verdict import Verdict

NAME: Final = "in_flight_limit"
EXPECTATION: Final = "in_flight"


def judge(log: EventLog) -> Verdict:
    """Fails when at any instant more requests are in flight than `in_flight` declares.

    A request is in flight from when it arrives until the provider has sent its last reply or
    the client hung up. Requests for items that are not in the ledger do not count, nor lines of batches.
    """
    allowed = log.header.expects.get(EXPECTATION)
    if allowed is None:
        return Verdict(NAME, None, "no limit was declared: tank.expect(in_flight=…)")
    ledger, flying, most = ledger_of(log), dict[int | None, Event](), 0
    for event in log:
        if event.batch is not None:
            continue
        if event.kind == "arrived" and (not ledger or event.item in ledger):
            flying[event.request] = event
            most = max(most, len(flying))
            if most > allowed:
                return _too_many(event, flying, allowed)
        elif event.kind in ("refused", "answered", "left"):
            flying.pop(event.request, None)
    if not most:
        return Verdict(NAME, None, "no item of the ledger made a request")
    return Verdict(NAME, True, f"at most {most} request(s) in flight (declared: {allowed})")


def _too_many(last: Event, flying: dict[int | None, Event], allowed: float) -> Verdict:
    summary = f"{len(flying)} requests in flight at {format_duration(last.at)} (declared: {allowed})"
    return Verdict(NAME, False, summary, tuple(dated(event, named=True) for event in flying.values()))
