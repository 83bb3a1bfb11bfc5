"""Does a refusal hold back every request that it covers?"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, final

from ..clock import MILLISECOND, format_duration
from ..events import EventLog
from .disturbances import disturbed
from .exchanges import Exchange, Stalls, exchanges, scopes_of
from .history import dated
from .verdict import Verdict

NAME: Final = "shared_pause"
GRACE: Final = 10 * MILLISECOND
"""At an HTTP seam so much may pass between a client's decision and its HTTP pool."""
_TOLERANCE: Final = MILLISECOND


def judge(log: EventLog) -> Verdict:
    """Fails when a request is sent though a refusal of its scope had reached the client and still held.

    It holds until its Retry-After has passed, counted from when it was sent, with 1 ms of
    tolerance; without a Retry-After it holds no request. A request within the grace of 10 ms after the
    refusal reached the client is no breach, and time in which the explorer stalled the program
    does not count.
    """
    if (why := disturbed(log)) is not None:
        return Verdict(NAME, None, why)
    requests, stalls = exchanges(log), Stalls(log)
    heard = [one for one in requests if one.heard_at is not None and one.free_from is not None]
    if not heard:
        return Verdict(NAME, None, "no refusal with a Retry-After reached a client")
    held: dict[str, _Held] = {}
    for refusal in sorted(heard, key=_heard_at):
        assert refusal.refused is not None
        held.setdefault(refusal.refused.scope or "", _Held(stalls)).add(refusal)
    for request in requests:
        latest = stalls.work_until(request.sent) - GRACE
        scopes = [held[scope] for scope in scopes_of(request.arrived) if scope in held]
        breached = [refusal for scope in scopes for refusal in scope.breached(request.sent, latest)]
        if breached:
            return _breach(min(breached, key=_number), request)
    return Verdict(NAME, True, f"{len(heard)} refusal(s), and nothing was sent while they held")


@final
class _Held:
    """The refusals of one scope, in the order in which they reached the client."""

    def __init__(self, stalls: Stalls) -> None:
        self._stalls = stalls
        self._refusals: list[Exchange] = []
        self._heard: list[int] = []
        """When each had reached the client, stalls not counted."""
        self._until: list[int] = []
        """Until when it held, or one before it."""

    def add(self, refusal: Exchange) -> None:
        """Take in the next one."""
        self._refusals.append(refusal)
        self._heard.append(self._stalls.work_until(_heard_at(refusal)))
        self._until.append(max(_until(refusal), self._until[-1] if self._until else 0))

    def breached(self, sent: int, latest: int) -> list[Exchange]:
        """Those that held when a request was sent, and had reached the client before the instant `latest`."""
        number = bisect_left(self._heard, latest)
        if not number or self._until[number - 1] <= sent:
            return []
        return [one for one in self._refusals[:number] if sent < _until(one)]


def _heard_at(refusal: Exchange) -> int:
    assert refusal.heard_at is not None
    return refusal.heard_at


def _until(refusal: Exchange) -> int:
    assert refusal.free_from is not None
    return refusal.free_from - _TOLERANCE


def _number(request: Exchange) -> int:
    return request.arrived.request or 0


def _breach(refusal: Exchange, request: Exchange) -> Verdict:
    assert refusal.refused is not None
    assert refusal.free_from is not None
    summary = (
        f"request {request.arrived.request} (item {request.arrived.item!r}) was sent at "
        f"{format_duration(request.sent)}; a refusal of {refusal.refused.scope} had reached the client at "
        f"{format_duration(_heard_at(refusal))} and held until {format_duration(refusal.free_from)}"
    )
    return Verdict(
        NAME, False, summary, (dated(refusal.refused, named=True), dated(request.arrived, named=True))
    )
