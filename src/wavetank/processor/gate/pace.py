"""The pace of one gate: the limits that are known or learnt, and when the next request may start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from ..limits import BURST_SECONDS, MARGIN, Limits, Quota, RateInfo
from .climber import DEEPEST_CUT, SLIGHTEST_CUT, Climber, LatencyEstimate, StartCounter
from .pacer import Pacer

# A first guess, so that a short batch is not slowed down; growth and cuts correct it within seconds.
FIRST_PER_SECOND: Final = 40.0
FIRST_BURST: Final = 5.0
LEAST_ROOM_AT_FIRST: Final = 3
"""The first refusal may have another cause, so it never leaves room for fewer requests than this."""
SIMILAR_RUN: Final = 1.5
"""A cut was useless if after it things went well for no longer than this many times as long as before."""
LOWEST_PER_SECOND: Final = 1 / 60
"""The slowest limit in use is one request a minute."""
LONGEST_ROUND_SECONDS: Final = 0.1
"""Rounds are used only while answers come faster than this: then waiting for one costs little."""
ROUND_WAIT_SECONDS: Final = 1.0
"""How long an unanswered round holds the next one back: ten times the longest round."""
FIRST_CROWDED_WAIT_SECONDS: Final = 10.0
"""How long a lack of room holds requests back while no answer was seen: as long as a slow answer."""
SHORTEST_CROWDED_WAIT_SECONDS: Final = 1.0
"""Below a second the measured times are too noisy to decide on."""
SAME_INSTANT_SECONDS: Final = 0.001
"""Requests sent within this time are one round: it is the time that sending a burst takes."""
SHORTEST_LATENCY_SECONDS: Final = 1e-6
"""Keeps the rate of one worker finite when virtual time gives an answer at once."""
SHORTEST_WAIT_SECONDS: Final = 1e-6
"""A wait below a microsecond is an error of rounding, and no timer is that exact."""
REPORTED_CHANGE: Final = 1.1
"""A change of the rate is reported when it reaches a tenth; smaller ones come with every answer."""


@final
class Pace:
    """The rate of requests and of tokens, and how many may be under way.

    A limit that is configured, or that an answer states, is kept. An unknown limit is learnt:
    the rate starts with five requests and 40 a second, or what one worker alone would send if
    that is more, and grows while it holds requests back. While answers are quick and the rate
    holds requests back, they are sent in rounds: a round starts when the last one is
    answered. So one request notices that the limit is passed, and not all that follow it.

    Args:
        limits: the limits that are known.
        on_change: called with the old and the new requests in a second when the rate changed by a tenth.
    """

    def __init__(self, limits: Limits, *, on_change: Callable[[float, float], None] | None = None) -> None:
        known = limits.requests_per_second
        rate = FIRST_PER_SECOND if known is None else known * MARGIN
        self._limits = limits
        self._on_change = on_change
        self._limit_is_known = known is not None
        self._rate = Climber(
            rate, highest=rate if self._limit_is_known else float("inf"), lowest=LOWEST_PER_SECOND
        )
        self._room = Climber(float("inf"), lowest=1.0)
        self._requests = Pacer(rate, burst=self._burst(rate))
        tokens = limits.tokens_per_second
        self._tokens = None if tokens is None else _token_pacer(tokens * MARGIN, limits)
        self._started = StartCounter()
        self._latency = LatencyEstimate()
        self._binding = False
        self._previous_good_run = 0.0
        self._reported_rate = rate

    def __repr__(self) -> str:
        return f"<Pace {self._rate.value:g}/s, room for {self._room.value:g}>"

    @property
    def per_second(self) -> float:
        """The requests in a second that may start at present."""
        return self._rate.value

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
        return self._room.value

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
            self._binding = True
        elif self._requests.full(now):
            self._binding = False
        if self._tokens is not None:
            at = max(at, self._tokens.ready_at(tokens))
        return at if at > now + SHORTEST_WAIT_SECONDS else now

    @property
    def in_rounds(self) -> bool:
        """Whether a round has to be answered before the next starts."""
        return not self._limit_is_known and self._binding and self._latency.bound <= LONGEST_ROUND_SECONDS

    @property
    def round_wait_seconds(self) -> float:
        """How long an unanswered round holds the next one back."""
        return ROUND_WAIT_SECONDS if self._latency.seen else LONGEST_ROUND_SECONDS

    def spend(self, tokens: float, now: float) -> None:
        """Note that a request of so many tokens starts."""
        self._requests.spend(1, now)
        self._started.add(now)
        if self._tokens is not None:
            self._tokens.spend(tokens, now)

    def restart(self, at: float) -> None:
        """Begin after a pause at this instant: requests start one by one."""
        self._requests.at_most(1, at)
        self._rate.rest()
        self._room.rest()

    def answered(self, seconds: float) -> None:
        """Take note of how long a served request took, also if a pause began meanwhile."""
        self._latency.add(seconds)

    def served(self, now: float, *, crowded: bool) -> None:
        """Grow after a request that was served without a pause since; `crowded`: it used the last room."""
        if self._binding:
            self._rate.grow(now)
        if crowded:
            self._room.grow(now)
        if self._rate.never_refused and not self._limit_is_known:
            self._rate.value = max(self._rate.value, 1 / max(self._latency.mean, SHORTEST_LATENCY_SECONDS))
        if self._rate.value > self._requests.per_second:
            self._follow(now)

    def refused(self, sent: float, under_way: int, since: float, now: float) -> None:
        """Cut rate and room after a refusal that opened a pause.

        A cut that did not help is undone: if a much lower rate is refused as soon as the higher
        one was, the refusals have another cause.

        Args:
            sent: when the refused request was sent.
            under_way: how many were under way then, it included.
            since: when the last pause ended.
            now: the instant of the refusal.
        """
        started = self._started.per_second(since if sent - since >= 1 else sent - 3, sent)
        old = self._rate.value
        if not self._binding:
            # The rate held nothing back, so it was not reached: what was sent is what failed.
            old = min(old, max(started, FIRST_PER_SECOND))
        good_run = sent - max(since, self._started.first)
        if (
            cut_was_useless := self._rate.is_far_below_last_refusal(old)
            and good_run <= SIMILAR_RUN * self._previous_good_run
        ):
            self._rate.restore()
        rate_is_near = self._binding and self._rate.is_near_last_refusal(old) and not cut_was_useless
        if not cut_was_useless:
            self._previous_good_run = good_run
            cut = min(max(started * SLIGHTEST_CUT, old * DEEPEST_CUT), old * SLIGHTEST_CUT)
            self._rate.fall(old, cut, now, ceiling=rate_is_near)
        self._cut_room(under_way, now, rate_is_near=rate_is_near)
        self._follow(now)

    def _cut_room(self, under_way: int, now: float, *, rate_is_near: bool) -> None:
        """Let one request fewer be under way; a second refusal with as many shows that they are too many."""
        crowded = self._room.is_near_last_refusal(under_way) and not rate_is_near
        room = under_way - 1 if crowded else max(under_way - 1, LEAST_ROOM_AT_FIRST)
        self._room.fall(under_way, room, now, ceiling=crowded)

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
        if quota.per_second is not None and quota.per_second > 0 and self._limits.requests_per_minute is None:
            self._limit_is_known = True
            self._rate.highest = quota.per_second * MARGIN
            if self._rate.never_refused or self._rate.value > self._rate.highest:
                self._rate.value = self._rate.highest
            self._follow(now)
        if quota.remaining is not None and self._limit_is_known:
            back = self._requests.per_second * (now - sent)
            self._requests.at_most(quota.remaining - later + back, now)

    def _learn_tokens(self, quota: Quota, now: float) -> None:
        if quota.per_second is not None and quota.per_second > 0 and self._limits.tokens_per_minute is None:
            rate = quota.per_second * MARGIN
            if self._tokens is None:
                self._tokens = Pacer(rate, burst=quota.limit or rate)
            self._tokens.change(rate, quota.limit or rate, now)
        if quota.remaining is not None and self._tokens is not None:
            self._tokens.at_most(quota.remaining, now)

    def _follow(self, now: float) -> None:
        """Give the pacer the present rate, and report the rate when it has changed by a tenth."""
        rate = self._rate.value
        self._requests.change(rate, self._burst(rate), now)
        old = self._reported_rate
        if not old / REPORTED_CHANGE < rate < old * REPORTED_CHANGE:
            self._reported_rate = rate
            if self._on_change is not None:
                self._on_change(old, rate)

    def _burst(self, rate: float) -> float:
        if self._limits.burst is not None:
            return self._limits.burst
        least = FIRST_BURST if self._rate.never_refused and not self._limit_is_known else 1.0
        return max(least, rate * BURST_SECONDS)


def _token_pacer(rate: float, limits: Limits) -> Pacer:
    return Pacer(rate, burst=limits.token_burst or max(1.0, rate * BURST_SECONDS))
