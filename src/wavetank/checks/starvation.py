"""Does every item get its turn?"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from ..clock import format_duration
from ..events import Event, EventKind, EventLog
from .disturbances import disturbed
from .exactly_once import paid_for
from .history import history, ledger_of
from .verdict import Verdict

NAME: Final = "starvation"
DEFAULT: Final = 100
"""So many outcomes of others an item may go without a request, unless `starvation` is declared."""

_OUTCOMES: Final[tuple[EventKind, ...]] = ("completed", "failed", "cancelled")


@final
@dataclass(slots=True)
class _Open:
    """An item without an outcome: its place in the queue, and what it has seen of its requests."""

    number: int
    idle_since: int
    idle_from: int = 0
    """The number of outcomes there had been then."""
    may_ask_at: int = 0
    asked: bool = False
    under_way: int = 0
    answered: bool = False


def judge(log: EventLog) -> Verdict:
    """Fails when an item sees no request for so many outcomes of others and asks, or is left over, only then.

    What does not count: outcomes while a request of the item is under way, after it was
    answered, or while it waits as the Retry-After of its last refusal asks; and, before its
    first request, outcomes of items submitted before it, which are only ahead in the queue.
    """
    allowed = log.header.expects.get(NAME, DEFAULT)
    if (why := disturbed(log)) is not None:
        return Verdict(NAME, None, why)
    items = ledger_of(log)
    outcomes = len(log.of(*_OUTCOMES))
    if not any(event.item in items for event in log.of("arrived")):
        return Verdict(NAME, None, "no item of the ledger made a request")
    if outcomes < allowed:
        return Verdict(NAME, None, f"{outcomes} outcome(s) came; an item starves by {allowed} of others")
    for item, passed_over, since, until in _Watch(log).gone_without():
        if passed_over >= allowed:
            summary = (
                f"item {item!r} saw no request for {passed_over} outcomes of others, "
                f"from {format_duration(since)} to {format_duration(until)}"
            )
            return Verdict(NAME, False, summary, history(log, item))
    return Verdict(NAME, True, f"no item went without a request for {allowed} outcomes of others")


@final
class _Watch:
    """Goes through a log and counts how many others came to an outcome while an item saw no request."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._open: dict[str, _Open] = {}
        self._submitted: dict[str, int] = {}
        self._outcomes_at: list[int] = []
        self._outcomes_of: list[int] = []
        """The numbers of the items that came to an outcome, sorted."""
        ledger = ledger_of(log)
        self._in_batches = {event.item for event in log.of("arrived") if event.batch is not None}
        """Items in a batch: whole batches are asked for and reported at a time, and none starves."""
        self._all_known = all(event.declared or event.item in ledger for event in log.of("arrived"))
        """Whether each request is known to be of its item: else one may be of an item that seems to wait."""

    def gone_without(self) -> Iterator[tuple[str, int, int, int]]:
        """Each stretch without a request: the item, how many others were done with, from and until when."""
        last = 0
        for event in self._log:
            last = event.at
            if event.item is None or event.item in self._in_batches:
                continue
            if event.kind == "submitted":
                number = self._submitted.setdefault(event.item, len(self._submitted))
                self._open.setdefault(event.item, _Open(number, event.at))
            elif event.kind in _OUTCOMES:
                self._open.pop(event.item, None)
                self._outcomes_at.append(event.at)
                insort(self._outcomes_of, self._submitted.get(event.item, len(self._submitted)))
            elif (state := self._open.get(event.item)) is not None:
                if event.kind == "arrived" and not state.under_way:
                    yield event.item, self._passed_over(state), state.idle_since, event.at
                self._serve(state, event)
        for item, state in self._open.items():
            if not state.under_way:
                yield item, self._passed_over(state), state.idle_since, last

    def _passed_over(self, state: _Open) -> int:
        if state.answered:
            return 0
        if not state.asked:
            ahead = bisect_right(self._outcomes_of, state.number)
            return len(self._outcomes_of) - ahead if self._all_known else 0
        return len(self._outcomes_at) - max(state.idle_from, bisect_left(self._outcomes_at, state.may_ask_at))

    def _serve(self, state: _Open, event: Event) -> None:
        if event.kind == "arrived":
            state.asked = True
            state.under_way += 1
        elif event.kind in ("delivered", "left"):
            state.under_way = max(0, state.under_way - 1)
            state.answered = state.answered or (event.kind == "delivered" and paid_for(event))
            state.idle_since, state.idle_from = event.at, len(self._outcomes_at)
        elif event.kind == "refused":
            state.may_ask_at = event.at + (event.retry_after or 0)
