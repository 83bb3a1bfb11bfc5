"""The pace of one gate: the limits that are known or learnt, and when the next request may start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from ..limits import BURST_SECONDS, MARGIN, Limits, Quota, RateInfo
from .latency import LatencyEstimate
from .learner import Learner, unknown
from .pacer import Pacer
from .tickets import Ticket

FIRST_PER_SECOND: Final = 40.0
"""A first guess, so that a short batch is not slowed down; most accounts have less than ten times that."""
FIRST_CROWDED_WAIT_SECONDS: Final = 10.0
"""How long a lack of room holds requests back while no answer was seen: as long as a slow answer."""
SHORTEST_CROWDED_WAIT_SECONDS: Final = 1.0
"""Below a second the measured times are too noisy to decide on."""
SHORTEST_WAIT_SECONDS: Final = 1e-6
"""A wait below a microsecond is an error of rounding, and no timer is that exact."""
REPORTED_CHANGE: Final = 1.1
"""A change of the rate is reported when it reaches a tenth; smaller ones come with every answer."""


@final
class Pace:
    """The rate of requests and of tokens, and how many may be under way.

    A limit that is configured, or that an answer states, is kept. An unknown limit is learnt, by
    the `Learner`. Requests start evenly until a burst is known or proved.

    Args:
        limits: the limits that are known.
        on_change: called with the old and the new requests in a second when the rate changed by a tenth.
        left: how many requests are still to be sent: what a refusal may cost depends on that.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        on_change: Callable[[float, float], None] | None = None,
        left: Callable[[], float] = unknown,
    ) -> None:
        known = limits.requests_per_second
        self._limits = limits
        self._on_change = on_change
        self._limit_is_known = known is not None
        self._learner = Learner(FIRST_PER_SECOND, left=left)
        if known is not None:
            self._learner.set_known(known * MARGIN)
        rate = self._learner.per_second
        self._requests = Pacer(rate, burst=self._burst(rate))
        tokens = limits.tokens_per_second
        self._tokens = None if tokens is None else _token_pacer(tokens * MARGIN, limits)
        self._latency = LatencyEstimate()
        self._reported_rate = rate

    def __repr__(self) -> str:
        return f"<Pace {self.per_second:g}/s, room for {self.room:g}>"

    @property
    def per_second(self) -> float:
        """The requests in a second that may start at present."""
        return self._learner.per_second

    @property
    def max_tokens_per_item(self) -> float | None:
        """How many tokens an item may need at most, where the limit is configured."""
        return self._limits.max_tokens_per_item

    @property
    def counts_tokens(self) -> bool:
        """Whether a limit on tokens is known, so that the tokens of a request have to be estimated."""
        return self._tokens is not None

    @property
    def room(self) -> float:
        """How many requests may be under way at present."""
        return self._learner.room

    @property
    def refusal_seconds(self) -> float:
        """The time within which a refusal comes, if there is one."""
        return self._learner.sent.refusal_seconds

    @property
    def crowded_wait_seconds(self) -> float:
        """How long a lack of room holds requests back: those that hang must not do so for ever."""
        if not self._latency.seen:
            return FIRST_CROWDED_WAIT_SECONDS
        return max(SHORTEST_CROWDED_WAIT_SECONDS, 2 * self._latency.bound)

    def opens_at(self, tokens: float, now: float) -> float:
        """The instant from which a request of so many tokens keeps the rates."""
        at = self._requests.ready_at(1)
        if at > now + SHORTEST_WAIT_SECONDS:
            held_until = self._learner.wait(now)
            self._follow(now)
            at = self._requests.ready_at(1)
            if held_until is not None:
                at = max(at, held_until)
        elif self._requests.full(now):
            self._learner.rest()
        if self._tokens is not None:
            at = max(at, self._tokens.ready_at(tokens))
        return at if at > now + SHORTEST_WAIT_SECONDS else now

    def start(self, ticket: Ticket) -> None:
        """Note that a request starts."""
        self._learner.start(ticket)
        self._requests.spend(1, ticket.sent)
        if self._tokens is not None:
            self._tokens.spend(ticket.tokens, ticket.sent)

    def restart(self, at: float) -> None:
        """Begin after a pause at this instant: requests start one by one."""
        self._requests.at_most(1, at)

    def answered(self, ticket: Ticket, now: float) -> None:
        """Take note of a request that was served, also if a pause began meanwhile."""
        self._latency.add(now - ticket.sent)
        self._learner.answered(ticket, now)
        self._follow(now)

    def ended(self, ticket: Ticket) -> None:
        """Take note that a request ended, in whatever way."""
        self._learner.sent.ended(ticket)

    def refused(self, ticket: Ticket, pause: float, now: float, *, alone: bool) -> None:
        """Learn from a refusal that opened a pause of so many seconds.

        `alone` says that the request was the only one since the pause before.
        """
        self._learner.refused(ticket, pause, now, alone=alone)
        self._follow(now)

    def refused_too(self, ticket: Ticket, now: float) -> None:
        """Take note of another refusal of the same wave."""
        self._learner.refused_too(ticket, now)

    def corrected(self, more_tokens: float) -> None:
        """Correct the tokens of a request: it took more than estimated, or fewer if negative."""
        if self._tokens is not None:
            self._tokens.correct(more_tokens)

    def learn(self, info: RateInfo, *, sent: float, later: int, now: float) -> None:
        """Learn the limits that an answer states; a configured limit is not changed.

        What is left is stated for the instant when the request was sent. Since then, `later`
        other requests have started, and part of the budget has refilled.
        """
        if info.requests is not None:
            self._learn_requests(info.requests, sent, later, now)
        if info.tokens is not None:
            self._learn_tokens(info.tokens, now)

    def _learn_requests(self, quota: Quota, sent: float, later: int, now: float) -> None:
        if quota.paces and self._limits.requests_per_minute is None:
            assert quota.per_second is not None
            self._limit_is_known = True
            self._learner.set_known(quota.per_second * MARGIN)
            self._follow(now)
        if quota.remaining is not None and self._limit_is_known:
            back = self._requests.per_second * (now - sent)
            self._requests.at_most(quota.remaining - later + back, now)

    def _learn_tokens(self, quota: Quota, now: float) -> None:
        if quota.paces and self._limits.tokens_per_minute is None:
            assert quota.per_second is not None
            rate = quota.per_second * MARGIN
            if self._tokens is None:
                self._tokens = Pacer(rate, burst=quota.limit or rate)
            self._tokens.change(rate, quota.limit or rate, now)
        if quota.remaining is not None and self._tokens is not None:
            self._tokens.at_most(quota.remaining, now)

    def _follow(self, now: float) -> None:
        """Give the pacer the present rate, and report the rate when it has changed by a tenth."""
        rate = self._learner.per_second
        burst = self._burst(rate)
        if rate != self._requests.per_second or burst != self._requests.burst:
            self._requests.change(rate, burst, now)
        old = self._reported_rate
        if not old / REPORTED_CHANGE < rate < old * REPORTED_CHANGE:
            self._reported_rate = rate
            if self._on_change is not None:
                self._on_change(old, rate)

    def _burst(self, rate: float) -> float:
        if self._limits.burst is not None:
            return self._limits.burst
        most = max(1.0, rate * BURST_SECONDS)
        return most if self._limit_is_known else min(most, self._learner.burst)


def _token_pacer(rate: float, limits: Limits) -> Pacer:
    return Pacer(rate, burst=limits.token_burst or max(1.0, rate * BURST_SECONDS))
