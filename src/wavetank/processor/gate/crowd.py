"""How many requests may be under way at once, if the provider has a limit on that."""

from __future__ import annotations

import math
from typing import Final, final

from .sent_requests import Sent

FIRST_PROOF: Final = 2
"""One refusal fits any cause; so many at the same number under way are evidence."""
DIFFERENT_RATES: Final = 4.0
"""Refusals at rates so many times apart have another cause than the rate, if the number under way fits."""


@final
class Crowd:
    """Looks for a number of requests under way at which all are refused, and below which none is.

    Only then is the number the cause. As soon as a request is served among as many as one was
    refused among, it is not, and the search begins again. A cap that is kept and refused all the
    same was wrong; the next one needs twice as much evidence.
    """

    def __init__(self) -> None:
        self.room = math.inf
        """How many requests may be under way."""
        self._most_served = 0
        self._least_refused = math.inf
        self._rates: list[float] = []
        self._proof = FIRST_PROOF
        self._proved_room = math.inf
        self._since = 0.0

    def served(self, one: Sent) -> None:
        """Take in that a request was let in."""
        if one.under_way >= self._least_refused:
            self._begin_again()
            self._most_served = 0
        self._most_served = max(self._most_served, one.under_way)

    def refused(self, one: Sent) -> bool:
        """Take in that a request was refused; whether the known cap is the cause."""
        if one.under_way <= self.room < math.inf:
            if one.under_way > self._proved_room:
                self.room, self._since = self._proved_room, one.at
                return True
            self.room, self._proof = math.inf, 2 * self._proof
            self._begin_again()
        self._least_refused = min(self._least_refused, one.under_way)
        self._rates.append(one.rate)
        return False

    def is_proved(self, *, rate_is_possible: bool) -> bool:
        """Whether the number under way must be the cause.

        Args:
            rate_is_possible: whether a limit on the rate fits the refusals as well; then they
                need to have come at quite different rates, and one more of them.
        """
        if self.room < math.inf or not self._least_refused > 1 or self._most_served >= self._least_refused:
            return False
        if not rate_is_possible:
            return len(self._rates) >= self._proof
        apart = max(self._rates, default=0.0) > DIFFERENT_RATES * min(self._rates, default=0.0)
        return len(self._rates) > self._proof and apart

    def keep_cap(self, now: float) -> None:
        """Let no more be under way than were ever served."""
        self.room = self._proved_room = self._least_refused - 1
        self._since = now

    def try_more(self, now: float, held_seconds: float) -> None:
        """Let one more be under way, if the cap was kept for so long."""
        if self.room < math.inf and now - self._since > held_seconds:
            self._proved_room = self.room
            self.room += 1
            self._since = now

    def _begin_again(self) -> None:
        self._rates.clear()
        self._least_refused = math.inf
