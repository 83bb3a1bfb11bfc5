"""Are requests sent no faster than declared?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..clock import MILLISECOND, MINUTE, format_duration
from ..events import Event, EventLog
from .disturbances import disturbed, explored_stalls
from .history import dated
from .verdict import Verdict

NAME: Final = "request_rate"
RATE: Final = "requests_per_minute"
BURST: Final = "burst"

_TOLERANCE: Final = MILLISECOND
_SHOWN: Final = 6


def judge(log: EventLog) -> Verdict:
    """Fails when an interval of `t` seconds holds more than `burst + requests_per_minute · t / 60` requests.

    A request counts when the client sent it; the retries of an SDK are requests too. Without
    `burst` it is as large as the rate. Intervals are taken 1 ms longer than they are, and those
    that touch a stall of the explorer are left out.
    """
    rate = log.header.expects.get(RATE)
    if rate is None:
        return Verdict(NAME, None, "no rate was declared: tank.expect(requests_per_minute=…)")
    if (why := disturbed(log)) is not None:
        return Verdict(NAME, None, why)
    burst = log.header.expects.get(BURST, rate)
    stretches = list(_between_stalls(log))
    for stretch in stretches:
        if (found := _too_many(stretch, int(rate), int(burst))) is not None:
            return _too_fast(found, int(rate), int(burst))
    count = sum(map(len, stretches))
    if not count:
        return Verdict(NAME, None, "no request was sent between the explorer's stalls")
    return Verdict(NAME, True, f"{count} request(s), never more than {burst} and {rate} more in a minute")


def _sent(event: Event) -> int:
    return event.at if event.sent is None else event.sent


def _between_stalls(log: EventLog) -> Iterator[list[Event]]:
    """The requests by when they were sent, in stretches without a stall; an instant of a stall is in none."""
    requests = sorted((event for event in log.of("arrived") if event.batch is None), key=_sent)
    stalls = sorted((event.since or 0, event.at) for event in explored_stalls(log))
    place = 0
    for since, until in stalls:
        begin = place
        while place < len(requests) and _sent(requests[place]) < since:
            place += 1
        yield requests[begin:place]
        while place < len(requests) and _sent(requests[place]) <= until:
            place += 1
    yield requests[place:]


def _too_many(requests: list[Event], rate: int, burst: int) -> list[Event] | None:
    """The requests of the first interval that holds too many."""
    least, first = 0, 0
    for place, request in enumerate(requests):
        # How far the requests are ahead of the rate; in units of a minute's nanoseconds it is exact.
        ahead = place * MINUTE - rate * _sent(request)
        if place == 0 or ahead < least:
            least, first = ahead, place
        if ahead - least + MINUTE > burst * MINUTE + rate * _TOLERANCE:
            return requests[first : place + 1]
    return None


def _too_fast(found: list[Event], rate: int, burst: int) -> Verdict:
    span = _sent(found[-1]) - _sent(found[0])
    summary = (
        f"{len(found)} requests were sent in {format_duration(span)}, from "
        f"{format_duration(_sent(found[0]))} on (declared: {rate} a minute, {burst} at once)"
    )
    lines = [
        dated(event, named=True)
        + ("" if _sent(event) == event.at else f"; it was sent at {format_duration(_sent(event))}")
        for event in found[:_SHOWN]
    ]
    more = (f"and {len(found) - _SHOWN} more",) if len(found) > _SHOWN else ()
    return Verdict(NAME, False, summary, (*lines, *more))
