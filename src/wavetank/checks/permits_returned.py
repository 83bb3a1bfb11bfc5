"""Is everything given back that was taken for a request?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..clock import format_duration
from ..events import EventLog
from .exchanges import Exchange, Stalls, exchanges
from .history import dated, history
from .verdict import Verdict

NAME: Final = "permits_returned"
_SHOWN: Final = 6


def judge(log: EventLog) -> Verdict:
    """Fails when a watched count is not back at its start when `main` returns.

    When the explorer interrupted `main`, it is to be back when what was left has been cancelled and awaited.

    Without a watch it looks at the exchanges: it fails when a reply was sent and the client
    neither read it to its end nor closed it, although it had the time to.
    """
    end = log.end
    if end is None or end.how not in ("returned", "interrupted"):
        return Verdict(NAME, None, "main did not return, so that nothing is quiet yet")
    if not end.watched:
        return _unread(log, end.at)
    for name, seen in end.watched.items():
        if seen.last != seen.first:
            summary = f"the count {name!r} began at {seen.first:g} and ended at {seen.last:g}"
            span = f"it was between {seen.least:g} and {seen.most:g}"
            return Verdict(NAME, False, summary, (span, *_unfinished(log)))
    names = ", ".join(repr(name) for name in end.watched)
    return Verdict(NAME, True, f"back at the start: {names}")


def _unfinished(log: EventLog) -> Iterator[str]:
    """Whose permit may be the one that is missing: requests without an answer, items given up."""
    unpaid = [one for one in exchanges(log) if one.refused is not None or one.left or one.over is None]
    yield f"{len(unpaid)} request(s) were refused, hung up on or left open"
    for one in unpaid[:_SHOWN]:
        yield dated(one.refused or one.arrived, named=True)
    yield from (dated(event, named=True) for event in log.of("failed", "cancelled")[:_SHOWN])


def _unread(log: EventLog, end: int) -> Verdict:
    judged = [one for one in exchanges(log) if one.replied is not None]
    if not judged:
        return Verdict(NAME, None, "nothing was watched (tank.watch), and no reply was sent")
    stalls = Stalls(log)
    for one in judged:
        if one.over is None and _had_time(one, end, stalls):
            return _left_open(log, one)
    return Verdict(NAME, True, f"each of {len(judged)} exchange(s) was read or closed")


def _had_time(one: Exchange, end: int, stalls: Stalls) -> bool:
    replied = one.replied if one.replied is not None else end
    return end - replied - stalls.within(replied, end) > 0


def _left_open(log: EventLog, one: Exchange) -> Verdict:
    summary = (
        f"the reply to request {one.arrived.request} (item {one.arrived.item!r}), sent at "
        f"{format_duration(one.replied or 0)}, was neither read to its end nor closed"
    )
    return Verdict(NAME, False, summary, history(log, one.arrived.item or ""))
