"""The set of limits that fit what was served and what was refused: docs/learning.md derives it."""

from __future__ import annotations

import math
from typing import Final, NamedTuple, final

RATES: Final = 25
"""So many rates are followed at once: 8 % apart where they span a factor of seven, and each costs 0.2 us."""
FEW_RATES: Final = RATES // 3
"""When fewer of them than this are left, the span is narrowed around those that are."""
FINER: Final = 3
"""So often the rates are put closer, up to 24 times each, before the evidence counts as contradictory."""
LONGEST_BURST_SECONDS: Final = 90.0
"""No bucket is deeper than this: providers count by the minute, and half as much again is for safety."""
KEPT_STARTS: Final = 2048
"""So many starts are remembered one by one; older ones in pairs, pairs of pairs, and so on."""
PAUSE_GAPS: Final = 4
"""Starts further apart than so many mean gaps are not joined: a bucket may be full in between."""
KEPT_BEFORE_REFUSAL: Final = 32
"""So many starts before a refusal are kept one by one: they show how deep the bucket is."""
MARGIN_OF_SPAN: Final = 1.2
"""The span of rates goes so far beyond those that are possible, so that its ends are not ends of the set."""
CLOSE_MARGIN_OF_SPAN: Final = 1.03
LEAST_SPREAD: Final = 0.1
"""Where no request takes a tenth more tokens than another, counting them is counting requests."""
SPREAD_OF_OTHER: Final = 4.0
"""The rate in requests of the mean size is not far from the rate in requests."""
_LIFTED: Final = -1
"""Stands for a refusal that holds only up to a certain rate; 0 is any other refusal."""
_ROUNDING: Final = 1e-6
"""Depths that differ by less than this many requests are equal."""
_CLOSE: Final = 1.5
"""From there on the ends are known well enough for the smaller margin."""


class Seen(NamedTuple):
    """So many requests that were let in then, with all their tokens; none is a refused one.

    Several were sent between `since` and `at`, and counted as sent evenly.
    """

    at: float
    requests: int
    tokens: float
    since: float


class Bounds(NamedTuple):
    """The lowest and the highest possible rate, in requests in a second; the highest may be infinite."""

    low: float
    high: float


class Bucket(NamedTuple):
    """One bucket of the set.

    `rate` is in requests in a second. `backlog` is what it still has to earn back, in requests;
    it is at least `shallowest` and less than `deepest` deep.
    """

    rate: float
    backlog: float
    shallowest: float
    deepest: float


@final
class LimitSet:
    """The token buckets that fit what was seen: for each of some rates, how deep the bucket can be.

    A bucket of the rate R that was full at first owes a backlog: it grows by one with each request
    that is let in, and shrinks by R in a second, to no less than 0. A request that is let in
    shows that the bucket is at least as deep as the backlog with it. A refused one shows that it
    is less deep. A rate at which no depth fits both is not the rate of the limit.

    Where the limit counts tokens, a request counts for as many of the mean size as it takes. Then
    one that is larger than the bucket may be let in when nothing is owed.
    """

    __slots__ = (
        "_at",
        "_backlog",
        "_below",
        "_deepest",
        "_least",
        "_lifted_above",
        "_lifted_depth",
        "_mean_tokens",
        "_most_tokens",
        "_seen",
        "_slack_now",
        "rates",
    )

    def __init__(self, mean_tokens: float | None = None) -> None:
        self._seen: list[Seen] = []
        self._mean_tokens = mean_tokens
        self._most_tokens = 0.0
        self.rates: tuple[float, ...] = ()
        """The rates that are followed, ascending; none before the first refusal."""
        self._at: float | None = None
        self._backlog: list[float] = []
        self._least: list[float] = []
        self._below: list[float] = []
        self._deepest: list[float] = []
        self._slack_now: list[float] | None = None
        """What `_slack` returned last, until it changes: most requests change no depth."""
        self._lifted_above = self._lifted_depth = math.inf

    @property
    def largest(self) -> float:
        """The largest request that was seen, in requests of the mean size."""
        return 1.0 if self._mean_tokens is None else self._most_tokens / self._mean_tokens

    @property
    def mean_tokens(self) -> float | None:
        """The tokens of a request of the mean size, where tokens are counted; `None` where requests are."""
        return self._mean_tokens

    def admit(self, at: float, tokens: float = 0.0) -> None:
        """Take in that a request which was sent then was let in; in the order of sending."""
        self._seen.append(Seen(at, 1, tokens, at))
        self._most_tokens = max(self._most_tokens, tokens)
        if len(self._seen) > KEPT_STARTS:
            self._thin_out()
        if self.rates:
            self._admit(self._seen[-1])

    def refuse(self, at: float, tokens: float = 0.0) -> None:
        """Take in that a request which was sent then was refused."""
        self._seen.append(Seen(at, 0, tokens, at))
        if self.rates:
            self._refuse(self._seen[-1])

    def counting_otherwise(self) -> LimitSet | None:
        """The same evidence, counted in tokens if this counts requests, or the other way round.

        `None` if that makes no difference, since all requests take about as many.
        """
        served = [one for one in self._seen if one.requests > 0]
        mean = sum(one.tokens for one in served) / max(1, sum(one.requests for one in served))
        sizes = [one.tokens / one.requests for one in served]
        if not sizes or max(sizes) - min(sizes) <= LEAST_SPREAD * mean:
            return None
        other = LimitSet(mean if self._mean_tokens is None else None)
        other._most_tokens = self._most_tokens
        other._seen = [_whole(one) for one in self._seen]
        other.span(self.rates[0] / SPREAD_OF_OTHER, self.rates[-1] * SPREAD_OF_OTHER)
        return other

    def take_back_refusal(self) -> None:
        """Forget the last refusal: it had another cause than the rate."""
        for place in range(len(self._seen) - 1, -1, -1):
            if self._seen[place].requests <= 0:
                del self._seen[place]
                break
        self.span(self.rates[0], self.rates[-1])

    def lift(self, above: float, depth: float) -> None:
        """Forget what refusals say of rates above this one: the limit may have grown since.

        All that is left of them is that such a bucket is less deep than `depth`.
        """
        self._lifted_above, self._lifted_depth = above, depth
        self._seen = [one if one.requests else one._replace(requests=_LIFTED) for one in self._seen]

    def restore_refusals(self) -> None:
        """Take back `lift`: the limit has not grown."""
        if not math.isinf(self._lifted_above):
            self._lifted_above = math.inf
            self._seen = [_whole(one) for one in self._seen]
            self.span(self.rates[0], self.rates[-1])

    def forget_all_before_refusal(self, back: int) -> None:
        """Forget what was before a refusal, counted from the last one as 1: the limit may be another one."""
        refusals = [place for place, one in enumerate(self._seen) if one.requests <= 0]
        if len(refusals) >= back:
            del self._seen[: refusals[-back] + 1]

    def forget_all(self) -> None:
        """Forget everything that was seen."""
        self._seen.clear()
        self._lifted_above = math.inf

    def span(self, low: float, high: float) -> None:
        """Follow the rates between these, and work out from what was seen how deep each may be."""
        growth = (high / low) ** (1 / (RATES - 1))
        self.rates = tuple(low * growth**number for number in range(RATES))
        self._deepest = [_deepest(rate) for rate in self.rates]
        self._slack_now = None
        least = 1.0 if self._mean_tokens is None else 0.0
        self._backlog, self._least = [0.0] * RATES, [least] * RATES
        self._below, self._at = [math.inf] * RATES, None
        for one in self._seen:
            if one.requests > 0:
                self._admit(one)
            else:
                self._refuse(one, self._lifted_above if one.requests == _LIFTED else math.inf)
        for place, rate in enumerate(self.rates):
            if rate > self._lifted_above:
                self._below[place] = min(self._below[place], self._lifted_depth)
        self._slack_now = None

    def narrow(self) -> Bounds | None:
        """Follow only the rates around those that are possible, where few are; the bounds then.

        `None` if no rate is possible, also none between two that are followed.
        """
        bounds = self.bounds() or self._find_between()
        for _ in range(4):
            if bounds is None or self._count_possible() >= FEW_RATES:
                break
            if self.rates[-1] / self.rates[0] < CLOSE_MARGIN_OF_SPAN**3:
                break
            low, high = bounds.low, min(bounds.high, self.rates[-1])
            margin = CLOSE_MARGIN_OF_SPAN if high / low < _CLOSE else MARGIN_OF_SPAN
            self.span(low / margin, high * margin)
            bounds = self.bounds()
        return bounds

    def bounds(self) -> Bounds | None:
        """The lowest and the highest rate that is possible; `None` if none of those followed is."""
        slack = self._slack()
        possible = [place for place, value in enumerate(slack) if value > _ROUNDING]
        if not possible:
            return None
        first, last = possible[0], possible[-1]
        low = self.rates[first] if first == 0 else self._lowest(first - 1, slack)
        if last < RATES - 1:
            return Bounds(low, self._zero(last, slack))
        return Bounds(low, math.inf if math.isinf(self._below[last]) else self.rates[last])

    def _find_between(self) -> Bounds | None:
        """Look for a possible rate between those that are followed, and follow the rates around it.

        The least and the greatest depth both fall when the rate rises. So there is none between two
        rates if the greatest depth at the lower one is not above the least depth at the higher one.
        """
        ends = self.rates[0], self.rates[-1]
        for _ in range(FINER):
            deepest = [*map(min, self._below, self._deepest)]
            gaps = [
                place
                for place in range(RATES - 1)
                if max(deepest[place : place + 2]) > min(self._least[place : place + 2]) + _ROUNDING
            ]
            if not gaps:
                break
            self.span(self.rates[gaps[0]], self.rates[gaps[-1] + 1])
            if (bounds := self.bounds()) is not None:
                return bounds
        self.span(*ends)
        return None

    def buckets(self, bounds: Bounds, now: float) -> list[Bucket]:
        """The possible buckets of the rates within the bounds, as they are at the instant `now`."""
        since = 0.0 if self._at is None else now - self._at
        return [
            Bucket(rate, max(0.0, backlog - rate * since), least, below)
            for rate, backlog, least, below, deepest in zip(
                self.rates, self._backlog, self._least, self._below, self._deepest, strict=True
            )
            if bounds.low * 0.98 <= rate <= bounds.high * 1.02 and min(below, deepest) > least + _ROUNDING
        ]

    def bucket(self, rate: float, now: float) -> Bucket:
        """The bucket of any rate, between two that are followed."""
        place = 0
        while place < RATES - 2 and self.rates[place + 1] < rate:
            place += 1
        below, above = self.rates[place], self.rates[place + 1]
        part = min(1.0, max(0.0, (rate - below) / (above - below)))
        since = 0.0 if self._at is None else now - self._at
        backlog = _between(self._backlog, place, part) - rate * since
        deepest = _between(self._below, place, part) if part else self._below[place]
        return Bucket(rate, max(0.0, backlog), _between(self._least, place, part), deepest)

    def _cost(self, one: Seen) -> float:
        return max(1, one.requests) if self._mean_tokens is None else one.tokens / self._mean_tokens

    def _admit(self, one: Seen) -> None:
        # Before the first one the bucket was full for long.
        passed = math.inf if self._at is None else max(0.0, one.since - self._at)
        self._at, cost = one.at, self._cost(one)
        alone = cost / one.requests
        more, during = cost - alone, one.at - one.since
        backlogs, least = self._backlog, self._least
        for place, rate in enumerate(self.rates):
            backlog = backlogs[place] + alone - rate * passed
            if more:
                backlog = max(backlog, alone) + more - rate * during
            if backlog <= alone:
                # The higher the rate the less is owed.
                backlogs[place:] = [alone] * (RATES - place)
                break
            backlogs[place] = backlog
            if backlog > least[place]:
                least[place] = backlog
                self._slack_now = None

    def _refuse(self, one: Seen, highest: float = math.inf) -> None:
        passed = 0.0 if self._at is None else max(0.0, one.at - self._at)
        cost = self._cost(one)
        self._slack_now = None
        for place, rate in enumerate(self.rates):
            if rate > highest:
                break
            # Less than the least where nothing was owed: no bucket refuses then, and the line
            # between two rates crosses 0 at the right place.
            owed = self._backlog[place] - rate * passed
            below = owed + (cost if owed > 0 else min(cost, self._least[place]))
            self._below[place] = min(self._below[place], below)

    def _slack(self) -> list[float]:
        """How many depths of a bucket fit, for each rate; not above 0 where none does."""
        if self._slack_now is None:
            self._slack_now = [
                min(below, deepest) - least
                for deepest, least, below in zip(self._deepest, self._least, self._below, strict=True)
            ]
        return self._slack_now

    def _count_possible(self) -> int:
        return sum(value > _ROUNDING for value in self._slack())

    def _zero(self, place: int, slack: list[float]) -> float:
        """The rate between two neighbours at which the slack is 0, where one of them is possible.

        At the other one it may be above 0 by less than the rounding: the line between them is then
        almost level, and would meet 0 far outside.
        """
        if math.isinf(slack[place]) or math.isinf(slack[place + 1]):
            return self.rates[place]
        part = min(1.0, max(0.0, slack[place] / (slack[place] - slack[place + 1])))
        return self.rates[place] + part * (self.rates[place + 1] - self.rates[place])

    def _lowest(self, place: int, slack: list[float]) -> float:
        """The rate above one that is not possible at which the slack becomes 0, or a little less.

        The slack rises steeply up to the rate that was sent at, and is level from there on. So a
        line to the next rate would meet 0 too late, and the one from the rate below is continued.
        """
        zero = self._zero(place, slack)
        if place == 0:
            return self.rates[0]
        steep = (slack[place] - slack[place - 1]) / (self.rates[place] - self.rates[place - 1])
        if not 0 < steep < math.inf:
            return self.rates[place]
        return min(zero, max(self.rates[place], self.rates[place] - slack[place] / steep))

    def _thin_out(self) -> None:
        """Join older starts in pairs, but not those just before a refusal, where each counts."""
        half = KEPT_STARTS // 2
        refused = [place for place, one in enumerate(self._seen) if one.requests <= 0]
        joined, alone = list[Seen](), False
        longest = PAUSE_GAPS * (self._seen[half - 1].at - self._seen[0].since) / half
        for place, one in enumerate(self._seen[:half]):
            while refused and refused[0] < place:
                del refused[0]
            if one.requests <= 0 or (refused and refused[0] - place <= KEPT_BEFORE_REFUSAL):
                joined.append(one)
                alone = False
            elif alone and one.since - joined[-1].at <= longest:
                last = joined[-1]
                requests, tokens = last.requests + one.requests, last.tokens + one.tokens
                joined[-1] = Seen(one.at, requests, tokens, last.since)
                alone = False
            else:
                joined.append(one)
                alone = True
        # With so many refusals that little could be joined, the oldest are forgotten.
        self._seen[:half] = joined[-half * 3 // 4 :]


def _whole(one: Seen) -> Seen:
    """A refusal that holds for every rate, whatever it was."""
    return one if one.requests >= 0 else one._replace(requests=0)


def _deepest(rate: float) -> float:
    """The depth that no bucket of this rate has; a bucket holds at least one request."""
    return max(2.0, LONGEST_BURST_SECONDS * rate)


def _between(values: list[float], place: int, part: float) -> float:
    return values[place] + part * (values[place + 1] - values[place])
