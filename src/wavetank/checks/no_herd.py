"""Do those who waited come back one after another, rather than all at one instant?"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

from ..clock import MILLISECOND, format_duration
from ..events import EventLog
from .disturbances import disturbed
from .exchanges import Exchange, Stalls, exchanges
from .history import dated
from .verdict import Verdict
from .windows import Window, windows

NAME: Final = "no_herd"
EXPECTATION: Final = "herd"
_AT_ONCE: Final = MILLISECOND
_HERD: Final = 4


def judge(log: EventLog) -> Verdict:
    """Fails when more than the declared share of a window's items are sent again at one instant.

    Of four or more items that were refused or held in a window, those count whose next request is
    sent within the Retry-After's length after its end, and at one instant means within 1 ms. A
    window with a stall in it, or in that time, is left out.
    """
    share = log.header.expects.get(EXPECTATION)
    if share is None:
        return Verdict(NAME, None, "no share was declared: tank.expect(herd=…)")
    if (why := disturbed(log)) is not None:
        return Verdict(NAME, None, why)
    requests, stalls, judged = exchanges(log), Stalls(log), 0
    held = [one for one in requests if one.held is not None]
    sent = sorted(requests, key=_sent)
    for window in windows(requests):
        items = _items(window, held)
        until = window.end + window.length
        if len(items) < _HERD or not window.length or stalls.within(window.begin, until):
            continue
        judged += 1
        herd = _largest(_back(window, items, sent, until))
        if len(herd) > share * len(items):
            return _stampede(window, len(items), herd, share)
    if not judged:
        return Verdict(NAME, None, "no window of refusals, free of stalls, has four items")
    return Verdict(NAME, True, f"{judged} window(s), each with at most {share:g} of its items back at once")


def _sent(request: Exchange) -> int:
    return request.sent


def _items(window: Window, held: list[Exchange]) -> dict[str | None, None]:
    then = [
        one
        for one in held
        if one.held is not None and window.begin <= one.held <= window.end and window.covers(one)
    ]
    return dict.fromkeys(one.arrived.item for one in [*window.refused, *then])


def _back(window: Window, items: dict[str | None, None], sent: list[Exchange], until: int) -> list[Exchange]:
    """The first request after the window of each of its items, in the order they were sent."""
    back: dict[str | None, Exchange] = {}
    first = bisect_left(sent, window.end - _AT_ONCE, key=_sent)
    for one in sent[first : bisect_right(sent, until, key=_sent)]:
        if one.arrived.item in items:
            back.setdefault(one.arrived.item, one)
    return list(back.values())


def _largest(back: list[Exchange]) -> list[Exchange]:
    """The most that were sent within 1 ms."""
    herd: list[Exchange] = []
    first = 0
    for last, one in enumerate(back):
        while one.sent - back[first].sent > _AT_ONCE:
            first += 1
        if last - first + 1 > len(herd):
            herd = back[first : last + 1]
    return herd


def _stampede(window: Window, items: int, herd: list[Exchange], share: float) -> Verdict:
    allowed = "half" if share == 0.5 else f"{share * 100:g}%"
    summary = (
        f"{len(herd)} of {items} items that had to wait until {format_duration(window.end)} were sent again "
        f"within 1ms, from {format_duration(herd[0].sent)} on (declared: at most {allowed} of them)"
    )
    return Verdict(NAME, False, summary, tuple(dated(one.arrived, named=True) for one in herd))
