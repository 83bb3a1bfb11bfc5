"""Does a refusal stop the requests, rather than set off more?"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from typing import Final, final

from ..clock import MILLISECOND, format_duration
from ..events import EventLog
from .disturbances import disturbed
from .exchanges import Exchange, Stalls, exchanges, scopes_of
from .history import dated, history
from .verdict import Verdict
from .windows import Window, windows

NAME: Final = "no_storm"
EXPECTATION: Final = "requests_per_item"
_GRACE: Final = 10 * MILLISECOND
_SHOWN: Final = 10


def judge(log: EventLog) -> Verdict:
    """Fails when a window of refusals has more of them than requests were under way when it began.

    A window of a scope runs from the first refusal sent to when it reached its client plus its
    Retry-After. Under way is what was sent before the refusal reached the client, or within the
    grace of 10 ms after that, stalls not counted, and was not over when the window began. It also
    fails when an item takes more requests than `requests_per_item` declares.
    """
    if (why := disturbed(log)) is not None:
        return Verdict(NAME, None, why)
    requests, stalls = exchanges(log), Stalls(log)
    if (much := _too_many_for_one(log, requests)) is not None:
        return much
    judged, traffic = 0, _Traffic(requests, stalls)
    for window in windows(requests):
        judged += 1
        under_way = traffic.under_way(window)
        if _refused(window) > under_way:
            return _storm(window, under_way)
    if not judged and EXPECTATION not in log.header.expects:
        return Verdict(NAME, None, "no refusal reached a client")
    return Verdict(NAME, True, f"{judged} window(s) of refusals, none of them a storm")


def judge_each_item(log: EventLog) -> Verdict:
    """Fails when an item takes more requests than `requests_per_item` declares; judges nothing else."""
    if (why := disturbed(log)) is not None:
        return Verdict(NAME, None, why)
    much = _too_many_for_one(log, exchanges(log))
    return much or Verdict(NAME, True, "no item took more requests than were declared")


@final
class _Traffic:
    """The requests by the scope that a refusal may cover: when each was sent, and when it was over."""

    def __init__(self, requests: list[Exchange], stalls: Stalls) -> None:
        self._stalls = stalls
        self._sent: dict[str, list[int]] = {}
        self._over: dict[str, list[int]] = {}
        for one in requests:
            work = stalls.work_until(one.sent)
            for scope in scopes_of(one.arrived):
                self._sent.setdefault(scope, []).append(work)
                if one.over is not None:
                    self._over.setdefault(scope, []).append(one.over)
        for instants in (*self._sent.values(), *self._over.values()):
            instants.sort()

    def under_way(self, window: Window) -> int:
        """The requests sent until the grace is over, stalls not counted, without those over before it."""
        scope, until = window.scope, self._stalls.work_until(window.reached) + _GRACE
        sent = bisect_right(self._sent.get(scope, []), until)
        return sent - bisect_left(self._over.get(scope, []), window.begin)


def _refused(window: Window) -> int:
    """The refusals of the window, without those of requests that had waited until the first one was over."""
    return sum(window.first.free_from is None or one.sent < window.first.free_from for one in window.refused)


def _storm(window: Window, under_way: int) -> Verdict:
    span = f"from {format_duration(window.begin)} to {format_duration(window.end)}"
    summary = (
        f"{_refused(window)} requests of {window.scope} were refused {span}; "
        f"{under_way} {'was' if under_way == 1 else 'were'} under way when the first refusal reached "
        "its client"
    )
    lines = [dated(one.refused, named=True) for one in window.refused if one.refused is not None]
    more = (f"and {len(lines) - _SHOWN} more",) if len(lines) > _SHOWN else ()
    return Verdict(NAME, False, summary, (*lines[:_SHOWN], *more))


def _too_many_for_one(log: EventLog, requests: list[Exchange]) -> Verdict | None:
    allowed = log.header.expects.get(EXPECTATION)
    if allowed is None:
        return None
    counts = Counter(one.arrived.item for one in requests if one.arrived.declared)
    for item, count in counts.items():
        if item is not None and count > allowed:
            summary = f"item {item!r} took {count} requests (declared: {allowed})"
            return Verdict(NAME, False, summary, history(log, item))
    return None
