"""The meter: what answers state of a budget, and how much of it may be spent at once."""

from __future__ import annotations

import pytest

from wavetank.processor import Quota, rate_info
from wavetank.processor.gate.meter import Meter


def spending(meter: Meter, count: int, cost: float = 1.0) -> None:
    """So many requests start at the instant 0."""
    for number in range(1, count + 1):
        meter.spend(number, cost, 0.0)


def openai(limit: int, depth: float, *remaining: int) -> list[Quota]:
    """What OpenAI's headers say of a bucket of that depth, which refills in a minute what the limit is."""
    found = []
    for left in remaining:
        reset = f"{round((depth - left) / limit * 60_000)}ms"
        headers = {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(left),
            "x-ratelimit-reset-requests": reset,
        }
        info = rate_info(headers, now=0.0)
        assert info is not None
        assert info.requests is not None
        found.append(info.requests)
    return found


def test_two_answers_show_the_rate_of_a_bucket_that_holds_less_than_the_limit() -> None:
    """One alone looks like a bucket of a second or of ten, as soon as it is nearly empty."""
    for depth, remaining in ((40, (39, 30)), (400, (399, 0)), (40, (20, 0))):
        meter = Meter()
        first, second = openai(2400, depth, *remaining)
        assert meter.learn_rate(first) is None
        assert meter.learn_rate(second) == pytest.approx(40 * 0.995)


def test_what_is_left_of_a_fixed_window_shows_no_rate() -> None:
    """Less is left, and less time until the end."""
    meter = Meter()
    for remaining, resets_in in ((80, 50.0), (70, 49.0), (60, 40.0)):
        assert meter.learn_rate(Quota(100, remaining, resets_in)) is None


def test_a_full_bucket_may_be_spent_at_once() -> None:
    """Four of ten were sent when the first answer came; six more may go, and no seventh."""
    meter = Meter()
    spending(meter, 4)
    quota = Quota(60, 9, 1.0, 1.0)
    rate = meter.learn_rate(quota)
    assert rate is not None
    meter.learn_depth(quota, 1)
    meter.set_rate(rate, meter.stated_depth, 0.0)
    meter.learn_left(quota, 1, 0.0, 0.0)
    for number in range(5, 11):
        assert meter.ready_at(1) <= 0.0
        meter.spend(number, 1, 0.0)
    assert meter.ready_at(1) == pytest.approx(1 / 0.995)


def test_what_is_left_of_a_window_is_not_sent_at_once() -> None:
    """It is all there is until its end: the rate stays as even as it was."""
    meter = Meter(1.0, burst=1.0)
    spending(meter, 1)
    quota = Quota(60, 59, 40.0, 1.0)
    assert meter.learn_rate(quota) is not None
    meter.learn_left(quota, 1, 0.0, 0.0)
    assert meter.ready_at(1) == pytest.approx(1.0)


def test_an_answer_that_is_late_says_no_more_than_a_newer_one() -> None:
    """What was left when an earlier request was sent is no news."""
    meter = Meter(1.0, burst=10.0)
    spending(meter, 2)
    meter.learn_left(Quota(60, 5), 2, 0.0, 0.0)
    before = meter.ready_at(5)
    meter.learn_left(Quota(60, 0), 1, 0.0, 0.0)
    assert meter.ready_at(5) == before


def test_a_request_that_took_more_counts_for_what_is_left() -> None:
    """Both for the present, and for what an answer states of the time before."""
    meter = Meter(10.0, burst=100.0)
    spending(meter, 2, cost=10.0)
    meter.correct(2, 30.0)
    assert meter.ready_at(70) == pytest.approx(1.0)
    meter.learn_left(Quota(600, 60), 1, 0.0, 0.0)
    assert meter.ready_at(30) <= 0.0 < meter.ready_at(31)
    meter.correct(7, 1000.0)
    assert meter.ready_at(30) <= 0.0


def test_without_a_rate_nothing_is_held_back() -> None:
    """And what is spent is known when there is one."""
    meter = Meter()
    spending(meter, 3)
    assert meter.ready_at(1000) < 0
    assert meter.full(0.0)
    meter.set_rate(1.0, 2.0, 0.0)
    meter.learn_left(Quota(60, 2), 1, 0.0, 0.0)
    assert meter.ready_at(1) == pytest.approx(1.0)
    meter.set_rate(None, 1.0, 0.0)
    assert meter.ready_at(1) < 0
