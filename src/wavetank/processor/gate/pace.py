"""The pace of one gate: what it knows of the limits, what it learns, and when the next request may go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from ..limits import BURST_SECONDS, MARGIN, Limits, Quota, RateInfo
from .climber import DEEPEST_CUT, SLIGHTEST_CUT, Climber, LatencyEstimate, StartCounter
from .pacer import Pacer

FIRST_PER_SECOND: Final = 40.0
FIRST_BURST: Final = 5.0
LEAST_ROOM_AT_FIRST: Final = 3
SIMILAR_RUN: Final = 1.5
LOWEST_PER_SECOND: Final = 1 / 60
LONGEST_ROUND_SECONDS: Final = 0.1
ROUND_WAIT_SECONDS: Final = 1.0
FIRST_CROWDED_WAIT_SECONDS: Final = 10.0
SHORTEST_CROWDED_WAIT_SECONDS: Final = 1.0
SAME_INSTANT_SECONDS: Final = 0.001
SHORTEST_LATENCY_SECONDS: Final = 1e-6
SHORTEST_WAIT_SECONDS: Final = 1e-6
REPORTED_CHANGE: Final = 1.1


@final
class Pace:
    """The rate of requests and of tokens, and how many may be under way.

    A configured or told limit is kept as it is. One that nobody told is learnt: the rate
    starts with five requests and 40 a second, or what one worker alone would send if that
    is more, and climbs while it holds requests back. While answers are quick and the rate
    is what holds requests back, they go in rounds: the next starts when the last is
    answered. So a limit that is passed is noticed by one request and not by all that
    followed it.
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
        """The requests in a second that the gate lets start at the moment."""
        return self._rate.value

    @property
    def max_tokens_per_item(self) -> float | None:
        """How many tokens an item may need at most, where the limit is configured."""
        return self._limits.max_tokens_per_item

    @property
    def counts_tokens(self) -> bool:
        """Whether a limit on tokens is known, so that it matters what a request is thought to take."""
        return self._tokens is not None

    @property
    def room(self) -> float:
        """How many requests may be under way at the moment."""
        return self._room.value

    @property
    def crowded_wait_seconds(self) -> float:
        """How long a want of room holds everybody back: requests that hang must not do so for ever."""
        if not self._latency.seen:
            return FIRST_CROWDED_WAIT_SECONDS
        return max(SHORTEST_CROWDED_WAIT_SECONDS, 2 * self._latency.bound)

    def opens_at(self, tokens: float, now: float) -> float:
        """The instant from which a request of so many tokens keeps the rates, to the microsecond."""
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
        """Know that from this instant on, after a pause, requests go one by one."""
        self._requests.at_most(1, at)
        self._rate.rest()
        self._room.rest()

    def answered(self, seconds: float) -> None:
        """Note how long a request took that was served, whatever came in between."""
        self._latency.add(seconds)

    def served(self, now: float, *, crowded: bool) -> None:
        """Note that a request was served, with no pause since; `crowded`: it took the last of the room."""
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

        A cut that did not help is taken back: when a much lower rate goes well for no longer
        than the higher one did, the refusals come from elsewhere.

        Args:
            sent: when the refused request was sent.
            under_way: how many were under way then, it included.
            since: when the last pause ended.
            now: the instant of the refusal.
        """
        started = self._started.per_second(since if sent - since >= 1 else sent - 3, sent)
        old = self._rate.value
        if not self._binding:
            # A rate that held nothing back is not the one that failed.
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
        """Let one fewer be under way; where the rate is not to blame, as many again are too many."""
        crowded = self._room.is_near_last_refusal(under_way) and not rate_is_near
        room = under_way - 1 if crowded else max(under_way - 1, LEAST_ROOM_AT_FIRST)
        self._room.fall(under_way, room, now, ceiling=crowded)

    def corrected(self, more_tokens: float) -> None:
        """Book that a request took more tokens than was thought, or fewer."""
        if self._tokens is not None:
            self._tokens.correct(more_tokens)

    def learn(self, info: RateInfo, *, sent: float, later: int, now: float) -> None:
        """Take what the provider tells of its limits; a configured limit is not raised by it.

        What is left is told for when the request was sent: `later` others have started since,
        and some of it has come back.
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
        """Let the pacer keep the rate that was found, and tell of it when it has changed by a tenth."""
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
