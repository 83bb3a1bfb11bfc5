"""Which rate to send at, when the limit is known to be one of a set: docs/learning.md derives it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from .limit_set import Bounds, Bucket

HORIZON_SECONDS: Final = 60.0
"""What is decided now counts for a minute: for as long as providers count."""
LONGEST_PAUSE_SECONDS: Final = 8.0
"""A longer pause is dreaded no more: it would make the way to a limit ten times higher take minutes."""
TRIED_RATES: Final = 16
"""So many rates between the bounds are compared, evenly in their logarithm."""
BUCKET_OF_ONE: Final = 1.0
"""A bucket that holds one request is the commonest: it has the weight of all depths up to a factor of e."""
SENDS_TO_SEE: Final = 5.0
"""A rate is known to be let through after so many requests, at the least."""


@final
@dataclass(frozen=True, slots=True)
class _Possible:
    """A bucket that may be the limit, and what a refusal by it would cost.

    `left` is what may be sent at once, and `cost` is in seconds.
    """

    rate: float
    left: float
    weight: float
    cost: float


def best_rate(buckets: Sequence[Bucket], bounds: Bounds, *, pause: float, price: float) -> float:
    """The rate between the bounds at which the least time is lost, on the average over the buckets.

    Too low a rate loses its distance to the limit for as long as it takes to find out. Too high
    a rate loses a pause, less what the bucket earns in that time and can hold.

    Args:
        buckets: those that are possible.
        bounds: the lowest and the highest rate that is possible; both are finite.
        pause: how long nothing is sent after a refusal, in seconds.
        price: what a refusal costs beside the pause, in seconds.
    """
    possible = [_possible(bucket, pause, price) for bucket in buckets]
    best = bounds.low
    least = sum(one.weight * HORIZON_SECONDS * (1 - best / one.rate) for one in possible if one.rate > best)
    width = math.log(bounds.high / bounds.low)
    for number in range(1, TRIED_RATES):
        step = width * number / TRIED_RATES
        rate = bounds.low * math.exp(step)
        # That the rate is let through is half known when the bucket in the middle would have refused.
        middle = bounds.low * math.exp(step / 2)
        until_known = max(SENDS_TO_SEE / rate, _left_at(middle, possible) / (rate - middle))
        lost = _lost(possible, rate, step, bounds.low, until_known, least)
        if lost < least:
            best, least = rate, lost
    return best


def _possible(bucket: Bucket, pause: float, price: float) -> _Possible:
    """Rates and depths are equally likely on a logarithmic scale, and a bucket of one is by itself."""
    least = max(1.0, bucket.shallowest)
    deepest = bucket.deepest if bucket.deepest < math.inf else 2 * least
    return _Possible(
        bucket.rate,
        max(0.0, (least + deepest) / 2 - bucket.backlog),
        (math.log(deepest / least) if deepest > least else 0.0) + (BUCKET_OF_ONE if least <= 1 else 0.0),
        max(0.0, min(pause, LONGEST_PAUSE_SECONDS) - least / bucket.rate) + price,
    )


def _left_at(rate: float, possible: Sequence[_Possible]) -> float:
    """What a bucket of this rate may let in at once, between two of those that are possible."""
    at = bisect_left(possible, rate, key=lambda one: one.rate)
    if not 0 < at < len(possible):
        return possible[min(at, len(possible) - 1)].left if possible else 0.0
    below, above = possible[at - 1], possible[at]
    return below.left + (above.left - below.left) * (rate - below.rate) / (above.rate - below.rate)


def _lost(
    possible: list[_Possible], rate: float, step: float, low: float, until_known: float, least: float
) -> float:
    """What is lost on the average at a rate, or some of it if that is already as much as `least`.

    It is the `step` above the lowest in a logarithm, and `until_known` seconds show that it is let through.
    """
    lost = 0.0
    for one in possible:
        if one.rate < rate:
            # A refusal that comes later than the horizon counts for the part of it within.
            seconds = one.left / (rate - one.rate)
            lost += one.weight * one.cost * (HORIZON_SECONDS / seconds if seconds > HORIZON_SECONDS else 1.0)
        elif one.rate > rate:
            # It is reached in steps of this size, and on the way half of the distance is lost.
            steps = max(1.0, math.log(one.rate / low) / step / 2)
            lost += one.weight * (1 - rate / one.rate) * min(HORIZON_SECONDS, until_known * steps)
        if lost >= least:
            break
    return lost
