"""Distinguishes an outage of the provider from an error that belongs to one item."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, final

import anyio

from .errors.request_failure import Failure
from .gate.gate import Gate
from .gate.tickets import Ticket
from .retry_limits import RetryBudget

COINCIDENCE: Final = 100_000
"""So many failures in a row that they come about by chance once in so many requests are an outage: a run
of as many has one false alarm, and that costs a pause of a second."""
MANY: Final = 5
"""So many are always needed: if one request in ten fails for a reason of its own, five in a row are the
coincidence above. Envoy's outlier detection has the same number."""
FAILURES_AT_FIRST, REQUESTS_AT_FIRST = 1, 10
"""One request in ten fails, until there is experience."""
REMEMBERED: Final = 1000
"""Experience of more requests than this is halved, so that a bad hour is forgotten: minutes of a busy run."""


@final
@dataclass(slots=True, eq=False)
class Suspect:
    """An item that failed since the last success, and its budget as it was before.

    `fresh` says that the item had no error before. An item that failed while others succeeded
    is no evidence of an outage. `spared` says that an outage was the reason and that the budget
    is as before. `own_error` says that others succeeded in the meantime.
    """

    budget: RetryBudget
    before: tuple[int, int, float | None]
    fresh: bool
    spared: bool = False
    own_error: bool = False

    def spare(self) -> None:
        """Undo what the budget was charged since the last success."""
        self.spared = True
        self.budget.restore(self.before)


@final
class OutageWatch:
    """Decides for one gate whether the provider is away, and whether it refuses every request.

    A failed request may be the fault of its item or of the provider. Only other requests show
    which: the failures since the last success are collected, and they are an outage when many
    items fail, or when an item has used up its attempts and another one fails as well. A success
    counts as evidence against it only if it was sent after the first of them: an answer that was
    under way when the provider went away says nothing.

    Args:
        gate: lets the requests start.
    """

    def __init__(self, gate: Gate) -> None:
        self.gate: Final = gate
        self.is_outage = False
        """Whether the provider is away."""
        self._suspects: dict[int, Suspect] = {}
        self._first_failure = 0.0
        self._first_sent = 0.0
        self._leavers: set[anyio.CancelScope] = set()
        self._served = False
        self._denied = 0
        self._in_a_row = 0
        self._failures = 0
        self._requests = 0

    def __repr__(self) -> str:
        state = "outage" if self.is_outage else "no outage"
        return f"<OutageWatch {state}, {len(self._suspects)} items failed since the last success>"

    def seconds(self, now: float) -> float:
        """How long no request has succeeded, from the first failure on; 0 without one."""
        return now - self._first_failure if self._suspects else 0.0

    def latest_probe(self, max_seconds: float, now: float) -> float:
        """The instant at which an outage has lasted so many seconds, if it began at the first failure."""
        return (self._first_failure if self._suspects else now) + max_seconds

    def succeeded(self, ticket: Ticket) -> None:
        """Take note of a request that was served: an outage is over, and other failures are their items'."""
        self._served = True
        self._denied = 0
        self._requests += 1
        if ticket.sent < self._first_sent:
            return
        for suspect in self._suspects.values():
            suspect.own_error = not suspect.spared
        # What failed in an outage says little about other times; but it may have been a false alarm.
        failures = min(self._in_a_row, MANY) if self.is_outage else self._in_a_row
        self._failures += failures
        self._requests += failures
        self._suspects = {}
        self.is_outage = False
        self._in_a_row = 0
        if self._requests > REMEMBERED:
            self._failures, self._requests = self._failures // 2, self._requests // 2

    def failed(self, number: int, budget: RetryBudget, ticket: Ticket, now: float) -> Suspect:
        """Take note of a failure of the item with this number, before its budget is charged."""
        if not self._suspects:
            self._first_failure, self._first_sent = now, ticket.sent
        self._in_a_row += 1
        suspect = self._suspects.get(number)
        if suspect is None:
            before = budget.errors, budget.refusals, budget.refused_since
            suspect = self._suspects[number] = Suspect(budget, before, fresh=budget.errors == 0)
        return suspect

    def begin_if_many_fail(self) -> None:
        """Begin an outage if many items failed, and too few requests are under way that may still succeed.

        Errors often come faster than answers. So at least half of the answers that one would
        expect have to be missing, also if all that is under way succeeds.
        """
        failures, requests = self._usual_failures
        answers_expected = (self._fresh + self.undecided) * (1 - failures / requests)
        if self.many_failed and self.undecided < answers_expected / 2:
            self.begin()

    @property
    def many_failed(self) -> bool:
        """Whether more items failed since the last success than do by chance."""
        (failures, requests), fresh = self._usual_failures, self._fresh
        # In whole numbers: a tenth to the fifth is not below 1e-5 in floating point.
        return fresh >= MANY and failures**fresh * COINCIDENCE <= requests**fresh

    @property
    def _fresh(self) -> int:
        return sum(one.fresh for one in self._suspects.values())

    @property
    def _usual_failures(self) -> tuple[int, int]:
        """How many requests fail while the provider is not away, and of how many."""
        return self._failures + FAILURES_AT_FIRST, self._requests + REQUESTS_AT_FIRST

    def begin(self) -> None:
        """Begin an outage: what the items were charged since the last success is undone."""
        self.is_outage = True
        for suspect in self._suspects.values():
            suspect.spare()
        for scope in self._leavers:
            scope.cancel()

    @contextmanager
    def left_when_away(self) -> Iterator[anyio.CancelScope]:
        """Cancel a wait at the gate when an outage begins."""
        with anyio.CancelScope() as scope:
            self._leavers.add(scope)
            try:
                yield scope
            finally:
                self._leavers.discard(scope)

    @property
    def undecided(self) -> int:
        """How many requests are under way that show what is the case: those sent since the first failure."""
        return self.gate.under_way_since(self._first_sent)

    @property
    def needs_no_probe(self) -> bool:
        """Whether another request is about to show if the outage is over, or a pause has not passed yet.

        A probe may take longer to fail than the gate holds the others back for it.
        """
        return self.gate.holds_back or bool(self._leavers) or self.undecided > 0

    def may_be_cause(self, suspect: Suspect, failure: Failure) -> bool:
        """Whether an outage may be the cause of the last failure of an item."""
        if suspect.spared or suspect.own_error:
            return False
        if any(one.fresh for one in self._suspects.values() if one is not suspect):
            return True
        unharmed = suspect.before[:2] == (0, 0)
        return unharmed and (failure.unreachable or failure.overloaded)

    def denied(self, *, served_earlier: bool) -> bool:
        """Take note of a refused key or model; whether it now counts for every request.

        Args:
            served_earlier: whether an earlier run had answers, and that says something about this refusal.
        """
        self._denied += 1
        return not (self._served or served_earlier) or self._denied >= MANY
