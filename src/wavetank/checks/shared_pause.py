"""Does a refusal hold back every request that it speaks for?"""

from __future__ import annotations

from typing import Final

from ..clock import MILLISECOND, format_duration
from ..events import EventLog
from .exchanges import Exchange, Stalls, exchanges, speaks_for
from .history import dated
from .verdict import Verdict

NAME: Final = "shared_pause"
GRACE: Final = 10 * MILLISECOND
"""At an HTTP seam so much may pass between a client's decision and its HTTP pool."""
_TOLERANCE: Final = MILLISECOND


def judge(log: EventLog) -> Verdict:
    """Fails when a request is sent though a refusal of its scope had reached the client and still held.

    It holds until its Retry-After has passed, counted from when it was sent, with 1 ms of
    tolerance; without a Retry-After it holds nobody. A request within the grace of 10 ms after the
    refusal reached the client is no breach, and time in which the explorer stalled the program
    does not count.
    """
    requests, stalls = exchanges(log), Stalls(log)
    told = [one for one in requests if one.told is not None and one.free_from is not None]
    if not told:
        return Verdict(NAME, None, "no refusal with a Retry-After reached a client")
    judged = 0
    for request in requests:
        for refusal in told:
            if _holds(refusal, request):
                judged += 1
                if _late(refusal, request, stalls) > GRACE:
                    return _breach(refusal, request)
    return Verdict(NAME, True, f"{len(told)} refusal(s), and nothing was sent while they held")


def _holds(refusal: Exchange, request: Exchange) -> bool:
    """Whether the request was sent between the two instants, in the refusal's scope."""
    assert refusal.told is not None
    assert refusal.free_from is not None
    assert refusal.refused is not None
    return refusal.told < request.sent < refusal.free_from - _TOLERANCE and speaks_for(
        refusal.refused.scope, request.arrived
    )


def _late(refusal: Exchange, request: Exchange, stalls: Stalls) -> int:
    assert refusal.told is not None
    return request.sent - refusal.told - stalls.within(refusal.told, request.sent)


def _breach(refusal: Exchange, request: Exchange) -> Verdict:
    assert refusal.told is not None
    assert refusal.free_from is not None
    assert refusal.refused is not None
    summary = (
        f"request {request.arrived.request} (item {request.arrived.item!r}) was sent at "
        f"{format_duration(request.sent)}; a refusal of {refusal.refused.scope} had reached the client at "
        f"{format_duration(refusal.told)} and held until {format_duration(refusal.free_from)}"
    )
    return Verdict(
        NAME, False, summary, (dated(refusal.refused, named=True), dated(request.arrived, named=True))
    )
