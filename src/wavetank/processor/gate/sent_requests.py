"""The requests of which it is not yet known whether they were let in, in the order of sending."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from .tickets import Ticket

LATE: Final = 1.5
"""An answer is overdue after one and a half times the longest wait for one."""
LATE_SECONDS: Final = 0.01
"""And so much later, since instants are not exact."""
REFUSAL_SECONDS: Final = 0.1
"""A request is let in if no refusal came in one and a half times the longest wait for one, and so much."""
PATIENCE_SECONDS: Final = 2.5
"""Before the first refusal: what is not refused within this time is let in, and takes long."""
MOST_UNSETTLED: Final = 4096
"""So many requests that hang are remembered; then the oldest counts as let in."""
FIRST_REFUSAL_SECONDS: Final = 1.0
"""How long a refusal takes as long as none was seen: providers refuse within a second."""


@final
@dataclass(slots=True)
class Sent:
    """A request: when it was sent, at which rate, how many were under way with it, and what it takes."""

    at: float
    rate: float
    under_way: int
    tokens: float = 0.0
    ended: bool = False
    refused: bool = False


@final
class SentRequests:
    """Says, in the order of sending, which requests were let in.

    A request was let in when it is answered, or when a refusal would have come by now. This
    way an answer that takes minutes doesn't hold back what is learnt.
    """

    def __init__(self) -> None:
        self._sent: deque[Sent] = deque()
        self._first = 1
        self.longest_answer: float | None = None
        """The longest wait for an answer, in seconds; `None` before the first one."""
        self._longest_refusal: float | None = None

    @property
    def settled(self) -> int:
        """How many requests are settled."""
        return self._first - 1

    @property
    def refusal_seconds(self) -> float:
        """The time within which a refusal comes."""
        if self._longest_refusal is None:
            return FIRST_REFUSAL_SECONDS
        return LATE * self._longest_refusal + REFUSAL_SECONDS

    def add(self, ticket: Ticket, rate: float) -> None:
        """A request was sent."""
        if not self._sent:
            self._first = ticket.number
        self._sent.append(Sent(ticket.sent, rate, ticket.under_way, ticket.tokens))

    def answered(self, ticket: Ticket, now: float, tokens: float | None = None) -> None:
        """A request was answered, and not refused; it took so many tokens, if that is known."""
        if tokens is not None and (one := self._of(ticket)) is not None:
            one.tokens = tokens
        took = now - ticket.sent
        self.longest_answer = took if self.longest_answer is None else max(took, self.longest_answer)
        self.ended(ticket)

    def ended(self, ticket: Ticket) -> None:
        """A request ended in whatever way; if it was not refused, it counts as let in."""
        if (one := self._of(ticket)) is not None:
            one.ended = True

    def withdraw(self, ticket: Ticket) -> None:
        """A request that was counted as started was not sent: it counts neither as let in nor as refused."""
        if (one := self._of(ticket)) is not None:
            one.ended = one.refused = True

    def refused(self, ticket: Ticket, now: float) -> Sent | None:
        """A request was refused; what is known of it, or `None` if it is settled already."""
        self._longest_refusal = max(self._longest_refusal or 0.0, now - ticket.sent)
        one = self._of(ticket)
        if one is not None:
            one.ended = one.refused = True
        return one

    def overdue(self, now: float) -> Sent | None:
        """The oldest request, if its answer is overdue."""
        if not self._sent or self.longest_answer is None:
            return None
        oldest = self._sent[0]
        late = now - oldest.at > LATE * self.longest_answer + LATE_SECONDS
        return oldest if late and not oldest.ended else None

    def settle(self, now: float, *, limited: bool) -> Iterator[Sent]:
        """Those that were let in, and are known to have been since the last call."""
        longest = self.refusal_seconds if limited else PATIENCE_SECONDS
        while self._sent:
            oldest = self._sent[0]
            if not oldest.ended:
                if now - oldest.at <= longest and len(self._sent) < MOST_UNSETTLED:
                    return
                if not limited and self.longest_answer is not None:
                    self.longest_answer = max(self.longest_answer, now - oldest.at)
            yield from self._take()

    def settle_before(self, ticket: Ticket) -> Iterator[Sent]:
        """Those before a refused request: they were let in, unless they are known to be refused, too."""
        while self._sent and self._first < ticket.number:
            yield from self._take()

    def _take(self) -> Iterator[Sent]:
        self._first += 1
        one = self._sent.popleft()
        if not one.refused:
            yield one

    def _of(self, ticket: Ticket) -> Sent | None:
        place = ticket.number - self._first
        return self._sent[place] if 0 <= place < len(self._sent) else None
