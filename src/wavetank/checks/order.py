"""Do results come in the declared order?"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from ..events import Event, EventLog
from .history import dated
from .verdict import Verdict

NAME: Final = "order"
INPUT: Final = 1
"""What the header has for `order="input"`."""

_SHOWN: Final = 6


def judge(log: EventLog) -> Verdict:
    """Fails when outcomes come in another order than their items were submitted.

    The first outcome of each submitted item counts; items without an outcome are passed over.
    """
    if NAME not in log.header.expects:
        return Verdict(NAME, None, 'no order was declared: tank.expect(order="input")')
    places: dict[str | None, int] = {}
    for event in log.of("submitted"):
        places.setdefault(event.item, len(places))
    first: dict[str | None, Event] = {}
    for event in log.of("completed", "failed", "cancelled"):
        if event.item in places:
            first.setdefault(event.item, event)
    results = list(first.values())
    for before, after in pairwise(results):
        if places[after.item] < places[before.item]:
            return _out_of_order(results, before, after)
    if not results:
        return Verdict(NAME, None, "no submitted item came to an outcome")
    return Verdict(NAME, True, f"{len(results)} result(s), in the order of their items")


def _out_of_order(results: list[Event], before: Event, after: Event) -> Verdict:
    at = results.index(after)
    around = results[max(at - _SHOWN + 2, 0) : at + 2]
    return Verdict(
        NAME,
        False,
        f"item {after.item!r} came to its outcome after {before.item!r}, and was submitted before it",
        tuple(dated(event, named=True) for event in around),
    )
