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

MANY: Final = 5
"""So many items that fail in a row are no coincidence. If one request in ten fails for a reason of its
own, five in a row do so once in 100,000; Envoy's outlier detection has the same number."""


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
        if ticket.sent < self._first_sent:
            return
        for suspect in self._suspects.values():
            suspect.own_error = not suspect.spared
        self._suspects = {}
        self.is_outage = False

    def failed(self, number: int, budget: RetryBudget, ticket: Ticket, now: float) -> Suspect:
        """Take note of a failure of the item with this number, before its budget is charged."""
        if not self._suspects:
            self._first_failure, self._first_sent = now, ticket.sent
        suspect = self._suspects.get(number)
        if suspect is None:
            before = budget.errors, budget.refusals, budget.refused_since
            suspect = self._suspects[number] = Suspect(budget, before, fresh=budget.errors == 0)
        return suspect

    def begin_if_many_fail(self) -> None:
        """Begin an outage if many items failed, and fewer requests may still succeed."""
        fresh = sum(one.fresh for one in self._suspects.values())
        if fresh >= MANY and self.undecided < fresh:
            self.begin()

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
