"""The pace of one gate: the limits that are known or learnt, and when the next request may start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple, final

from ..limits import BURST_SECONDS, MARGIN, Limits, RateInfo
from .latency import LatencyEstimate
from .learner import Learner, unknown
from .meter import Left, Meter
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


class Stated(NamedTuple):
    """What an answer says of now: for how many seconds a budget is spent, and what is left of the others."""

    spent_for: float
    requests: Left | None = None
    tokens: Left | None = None


@final
class Pace:
    """The rate of requests and of tokens, and how many may be under way.

    A limit that is configured, or that an answer states, is kept. An unknown limit is learnt, by
    the `Learner`. Requests start evenly until a burst is known or proved.

    Args:
        limits: the limits that are known.
        on_change: called with the old and the new requests in a second when the rate changed by a tenth.
        left: how many requests are still to be sent: what a refusal may cost depends on that.
        first_per_second: the first guess of an unknown rate.
        room: no more requests than this may be under way.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        on_change: Callable[[float, float], None] | None = None,
        left: Callable[[], float] = unknown,
        first_per_second: float = FIRST_PER_SECOND,
        room: float = math.inf,
    ) -> None:
        self._limits = limits
        self._on_change = on_change
        self._room = room
        self._learner = Learner(first_per_second, left=left)
        self._requests, self._tokens = Meter(), Meter()
        if limits.requests_per_second is not None:
            self._learner.set_known(limits.requests_per_second * MARGIN)
        self._latency = LatencyEstimate()
        self._reported_rate = self.per_second
        self._follow(0.0)

    def retune(self, limits: Limits, now: float) -> None:
        """Keep other limits from now on. What was learnt stays, but for a rate that is now configured."""
        earlier, self._limits = self._limits, limits
        if limits.requests_per_minute != earlier.requests_per_minute:
            known = limits.requests_per_second
            self._learner.retune(self._requests.stated_rate if known is None else known * MARGIN, now)
        self._follow(now)
        if limits.requests_per_minute != earlier.requests_per_minute:
            self._requests.fill(now)

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
    def room(self) -> float:
        """How many requests may be under way at present."""
        return min(self._room, self._learner.room)

    @property
    def budgets(self) -> tuple[tuple[float | None, float], tuple[float | None, float]]:
        """The rate in a second and the burst of requests, and those of tokens; a rate may be `None`."""
        return self._requests.rate_and_burst, self._tokens.rate_and_burst

    @property
    def mean_tokens(self) -> float | None:
        """The tokens of a mean request, if the learnt limit counts tokens."""
        return self._learner.mean_tokens

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
        at = self._ready_at(tokens)
        if at > now + SHORTEST_WAIT_SECONDS:
            held_until = self.hold_back(now)
            at = self._ready_at(tokens)
            if held_until is not None:
                at = max(at, held_until)
        elif self._learnt.full(now):
            self.rest()
        return at if at > now + SHORTEST_WAIT_SECONDS else now

    def hold_back(self, now: float) -> float | None:
        """The rate holds a request back: the instant before which nothing may start, if there is one."""
        held_until = self._learner.wait(now)
        self._follow(now)
        return held_until

    def rest(self) -> None:
        """The rate holds nothing back."""
        self._learner.rest()

    def _ready_at(self, tokens: float) -> float:
        return max(self._requests.ready_at(1), self._tokens.ready_at(tokens))

    @property
    def _learnt(self) -> Meter:
        return self._requests if self._learner.mean_tokens is None else self._tokens

    def start(self, ticket: Ticket) -> None:
        """Note that a request starts."""
        self._learner.start(ticket)
        self._requests.spend(ticket.number, 1, ticket.sent)
        self._tokens.spend(ticket.number, ticket.tokens, ticket.sent)

    def restart(self, at: float) -> None:
        """Begin after a pause at this instant: requests start one by one."""
        self._requests.restart(1, at)
        if self._learner.mean_tokens is not None:
            self._tokens.restart(self._learner.mean_tokens, at)

    def answered(self, ticket: Ticket, now: float, tokens: float | None = None) -> None:
        """Take note of a request that was served, and of what it took, also if a pause began meanwhile."""
        self._latency.add(now - ticket.sent)
        if tokens is not None:
            self._tokens.correct(ticket.number, tokens)
        self._learner.answered(ticket, now, tokens)
        self._follow(now)

    def ended(self, ticket: Ticket) -> None:
        """Take note that a request ended, in whatever way."""
        self._learner.sent.ended(ticket)

    def withdrawn(self, ticket: Ticket) -> None:
        """Take note that a request was not sent after all."""
        self._learner.sent.withdraw(ticket)

    def refused(self, ticket: Ticket, pause: float, now: float, *, alone: bool) -> None:
        """Learn from a refusal that opened a pause of so many seconds.

        `alone` says that the request was the only one since the pause before.
        """
        self._learner.refused(ticket, pause, now, alone=alone)
        self._follow(now)

    def refused_too(self, ticket: Ticket, now: float) -> None:
        """Take note of another refusal of the same wave."""
        self._learner.refused_too(ticket, now)

    def learn(self, info: RateInfo, *, number: int, sent: float, now: float) -> Stated:
        """Learn the limits that an answer states; a configured limit is not changed.

        A budget counts as spent for a time if no rate of it is known.

        Args:
            info: what the answer states.
            number: that of the request which was answered.
            sent: when it was sent.
            now: the present.
        """
        spent_for, lefts = 0.0, list[Left | None]()
        limits = self._limits
        for meter, quota, configured in (
            (self._requests, info.requests, limits.requests_per_minute),
            (self._tokens, info.tokens, limits.tokens_per_minute),
        ):
            lefts.append(None)
            if quota is None:
                continue
            rate = meter.learn_rate(quota)
            if rate is None:
                spent_for = max(spent_for, quota.spent_for or 0.0)
            elif configured is None:
                meter.learn_depth(quota, number)
                if meter is self._requests:
                    self._learner.set_known(rate)
                self._follow(now)
            if rate is not None or configured is not None:
                lefts[-1] = meter.learn_left(quota, number, sent, now)
        return Stated(spent_for, *lefts)

    def attach(self, on_change: Callable[[float, float], None] | None, left: Callable[[], float]) -> None:
        """Call other functions from now on."""
        self._on_change = on_change
        self._learner.attach(left)

    def _follow(self, now: float) -> None:
        """Give the meters the present rates, and report the rate when it has changed by a tenth."""
        mean, per_second = self._learner.mean_tokens, self._learner.per_second
        known = self._limits.tokens_per_second
        tokens = self._tokens.stated_rate if known is None else known * MARGIN
        if mean is None:
            requests = per_second
        else:
            requests = self._learner.highest
            tokens = min(per_second * mean, math.inf if tokens is None else tokens)
        self._set_rate(self._requests, requests, 1.0, self._limits.burst, now)
        tokens = math.inf if tokens is None else tokens
        self._set_rate(self._tokens, tokens, mean or 0.0, self._limits.token_burst, now)
        old = self._reported_rate
        if not old / REPORTED_CHANGE < per_second < old * REPORTED_CHANGE:
            self._reported_rate = per_second
            if self._on_change is not None:
                self._on_change(old, per_second)

    def _set_rate(self, meter: Meter, rate: float, unit: float, burst: float | None, now: float) -> None:
        """Give a meter its rate and burst; `unit` is what a mean request takes."""
        if rate == math.inf:
            meter.set_rate(None, 1.0, now)
            return
        learner = self._learner
        even = max(1.0, rate * BURST_SECONDS)
        if burst is None and meter is self._learnt and (learner.was_refused or learner.highest == math.inf):
            burst = min(even, learner.burst * unit)
        meter.set_rate(rate, max(even, meter.stated_depth) if burst is None else burst, now)
