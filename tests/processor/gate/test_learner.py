"""Pacer, set of limits, choice, crowd, learner: how a rate is kept, and how an unknown limit is found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wavetank.processor import Limits, Quota, RateInfo
from wavetank.processor.gate.choice import best_rate
from wavetank.processor.gate.crowd import Crowd
from wavetank.processor.gate.latency import LatencyEstimate
from wavetank.processor.gate.learner import LOWEST_PER_SECOND
from wavetank.processor.gate.limit_set import LimitSet, Seen
from wavetank.processor.gate.pace import Pace
from wavetank.processor.gate.pacer import Pacer
from wavetank.processor.gate.sent_requests import Sent, SentRequests
from wavetank.processor.gate.tickets import Ticket

from ..stepping import one_batch
from .limited_world import World, run


def starts(pacer: Pacer, count: int, *, cost: float = 1.0) -> list[float]:
    """The instants at which so many requests go, each as soon as it may."""
    now, times = 0.0, []
    for _ in range(count):
        now = max(now, pacer.ready_at(cost))
        pacer.spend(cost, now)
        times.append(now)
    return times


def test_a_burst_goes_at_once_and_then_the_rate_is_kept() -> None:
    """Three at once, then one each tenth of a second; after a rest the burst is back."""
    pacer = Pacer(10, burst=3)
    assert starts(pacer, 5) == pytest.approx([0, 0, 0, 0.1, 0.2])
    assert not pacer.full(0.3)
    assert pacer.full(0.5)
    assert pacer.ready_at(3) == pytest.approx(0.5)


def test_what_is_dearer_than_the_burst_waits_for_all_of_it() -> None:
    """And what it takes is owed afterwards."""
    pacer = Pacer(10, burst=3)
    assert starts(pacer, 3, cost=6) == pytest.approx([0, 0.6, 1.2])


def test_a_correction_moves_the_next_start() -> None:
    """A cost that was too high is given back, one that was too low is owed."""
    pacer = Pacer(10, burst=1)
    pacer.spend(1, 0.0)
    pacer.correct(-0.5)
    assert pacer.ready_at(1) == pytest.approx(0.05)
    pacer.correct(1)
    assert pacer.ready_at(1) == pytest.approx(0.15)


def test_knowing_that_less_is_left_only_ever_holds_back() -> None:
    """More than is thought to be left changes nothing."""
    pacer = Pacer(10, burst=3)
    pacer.at_most(1, 0.0)
    assert pacer.ready_at(1) <= 0.0 < pacer.ready_at(2)
    pacer.at_most(5, 0.0)
    assert pacer.ready_at(2) == pytest.approx(0.1)
    pacer.at_most(-2, 0.0)
    assert pacer.ready_at(1) == pytest.approx(0.1)


@pytest.mark.parametrize(("per_second", "burst", "next_one"), [(20, 3, 0.05), (5, 3, 0.2), (20, 1, 0.05)])
def test_another_rate_leaves_what_can_be_spent_as_it_is(
    per_second: float, burst: float, next_one: float
) -> None:
    """With nothing left, the next goes when the new rate has earned it."""
    pacer = Pacer(10, burst=3)
    for _ in range(3):
        pacer.spend(1, 0.0)
    pacer.change(per_second, burst, 0.0)
    assert pacer.ready_at(1) == pytest.approx(next_one)
    assert (pacer.per_second, pacer.burst) == (per_second, burst)
    assert "Pacer" in repr(pacer)


def test_another_rate_leaves_a_pause_as_long_as_it_is() -> None:
    """The time until a pause ends is no debt, which would be paid at the new rate."""
    pacer = Pacer(40, burst=4)
    pacer.at_most(1, 60.0)
    assert pacer.ready_at(1) == pytest.approx(60)
    pacer.change(0.1, 1, 1.0)
    assert starts(pacer, 2) == pytest.approx([60, 70])
    pacer.change(1, 1, 71.0)
    assert pacer.ready_at(1) == pytest.approx(71 + 9 * 0.1)


def test_latency_follows_mean_and_deviation() -> None:
    """Regular answers have a bound close to them, irregular ones a wide one."""
    regular, wide = LatencyEstimate(), LatencyEstimate()
    for number in range(100):
        regular.add(0.05)
        wide.add(0.02 + 0.1 * (number % 2))
    assert regular.bound == pytest.approx(0.05)
    assert wide.mean == pytest.approx(0.07, abs=0.01)
    assert wide.bound > 0.2


def evidence(*sends: tuple[float, bool]) -> LimitSet:
    """The set after these requests: when each was sent, and whether it was let in."""
    known = LimitSet()
    for at, let_in in sends:
        (known.admit if let_in else known.refuse)(at)
    known.span(0.1, 100)
    return known


def test_a_second_request_that_is_refused_shows_a_bucket_of_one_and_no_lowest_rate() -> None:
    """After 25 ms: the rate is below 40 a second, and may be anything below."""
    bounds = evidence((0.0, True), (0.025, False)).bounds()
    assert bounds is not None
    assert bounds.low == pytest.approx(0.1)
    assert bounds.high == pytest.approx(40, rel=0.01)


@pytest.mark.parametrize(
    "sends",
    [
        [(0.0, True), (26e-6, True), (105e-6, False)],
        [(0.0, True), (218e-6, False), (276e-6, True)],
        [(0.0, True), (0.0, True), (969e-6, False), (980e-6, True)],
    ],
    ids=["all-at-once", "one-let-in-after-it", "a-later-refusal"],
)
def test_requests_of_one_instant_show_no_rate_below_those_that_are_followed(
    sends: list[tuple[float, bool]],
) -> None:
    """What a slow bucket earns in a tenth of a millisecond is lost in rounding, and shows nothing of it."""
    known = evidence(*sends)
    known.span(LOWEST_PER_SECOND, 100)
    bounds = known.narrow()
    assert bounds is not None
    assert known.rates[0] <= bounds.low <= bounds.high
    assert best_rate(known.buckets(bounds, 1e-3), bounds, pause=0.01, price=0.1) >= bounds.low


def test_two_refusals_with_a_known_refill_between_them_show_rate_and_depth() -> None:
    """Ten let in at once, the eleventh refused; five more after a second, and the sixth refused."""
    sends = [(0.0, True)] * 10 + [(0.0, False)] + [(1.0, True)] * 5 + [(1.0, False)]
    known = evidence(*sends)
    bounds = known.narrow()
    assert bounds is not None
    assert bounds.low == pytest.approx(5, abs=1.2)
    assert bounds.high == pytest.approx(6, abs=0.5)
    bucket = known.bucket(5.5, 1.0)
    assert 9.5 < bucket.shallowest <= 10 < bucket.deepest <= 11


def test_a_rate_between_two_that_are_followed_is_found() -> None:
    """Two refusals leave less than two in a hundred; the rates are a third apart, and none of them fits."""
    known, level, at, refused = LimitSet(), 10.0, 0.0, list[float]()
    while len(refused) < 2:
        level = min(10.0, level + 60 / 90)
        at += 1 / 90
        if level >= 1:
            level -= 1
            known.admit(at)
        else:
            known.refuse(at)
            refused.append(at)
            # Nothing is sent for a tenth of a second, so the bucket is not full again.
            at, level = at + 0.1, min(10.0, level + 6)
    known.span(0.1, 100)
    assert known.bounds() is None
    bounds = known.narrow()
    assert bounds is not None
    assert 57 < bounds.low < 60.01 < bounds.high < 63


@given(
    st.floats(-6, 1),
    st.lists(st.tuples(st.sampled_from((0.0, 0.001, 0.3, 1.0, 10.0)), st.booleans()), max_size=20),
    st.floats(0, 4),
)
@example(-3, [(0.0, True), (0.0, False), (0.001, False), (1.0, False)], 2)
def test_the_bounds_are_rates_that_are_followed(
    scale: float, sends: list[tuple[float, bool]], highest: float
) -> None:
    """Also where what fits is less than the rounding: many requests within a millisecond, for example."""
    known, at = LimitSet(), 0.0
    known.span(1 / 120, 1.5 * 10**highest)
    for gap, let_in in sends:
        at += gap * 10**scale
        (known.admit if let_in else known.refuse)(at)
        if bounds := known.narrow():
            assert known.rates[0] / 1.001 <= bounds.low <= bounds.high
            assert bounds.high in (math.inf, pytest.approx(min(bounds.high, known.rates[-1])))


def test_looking_closer_changes_nothing_if_no_rate_fits() -> None:
    """The rates that are followed stay: others are chosen by the learner."""
    known = evidence(*((number / 10, True) for number in range(1000)), (101.0, False))
    rates = known.rates
    assert known.narrow() is None
    assert known.rates == rates


def test_a_deep_bucket_is_refuted_before_its_rate_counts_as_safe() -> None:
    """Small steps above the lowest rate take long to be proved: larger ones lose less."""
    sends = [(number / 320, True) for number in range(28)]
    known = evidence(*sends, (28 / 320, False))
    known.span(0.1, 400)
    for number in range(300):
        known.admit(1.2 + number / 30)
        known.narrow()
    bounds = known.narrow()
    assert bounds is not None
    chosen = best_rate(known.buckets(bounds, 11.2), bounds, pause=1.1, price=0.1)
    assert chosen > 2 * bounds.low


SIZES = tuple(0.08 + 2.76 * (number * 0.6180339887 % 1) ** 2 for number in range(997))
"""Sizes of requests, of 1 on the average: most are small, and a few almost three times as large."""


def bucket_of_tokens(rate: float, depth: float, count: int) -> LimitSet:
    """What such a bucket lets in of ten requests in a second; 100 tokens are the size 1."""
    known, level = LimitSet(), depth
    for number in range(count):
        level, size = min(depth, level + rate / 10), SIZES[number % len(SIZES)]
        if size <= level:
            level -= size
            known.admit(number / 10, size * 100)
        else:
            known.refuse(number / 10, size * 100)
    known.span(0.1, 100)
    return known


def test_refusals_of_large_requests_show_a_limit_on_tokens() -> None:
    """Small ones are let in when large ones are refused: only a limit on tokens fits that."""
    known = bucket_of_tokens(5, 6, 60)
    assert known.bounds() is None
    other = known.counting_otherwise()
    assert other is not None
    assert other.mean_tokens is not None
    bounds = other.narrow()
    assert bounds is not None
    assert bounds.low <= 500 / other.mean_tokens <= bounds.high
    assert bounds.high / bounds.low < 1.2
    again = other.counting_otherwise()
    assert again is not None
    assert (again.mean_tokens, again.bounds()) == (None, None)


def test_requests_of_one_size_are_not_counted_otherwise() -> None:
    """It would say the same."""
    for tokens in (0.0, 100.0):
        known = LimitSet()
        for number in range(20):
            known.admit(number / 10, tokens)
        known.refuse(1.95, tokens)
        known.span(0.1, 100)
        assert known.counting_otherwise() is None


def test_a_request_larger_than_the_bucket_does_not_show_a_deep_one() -> None:
    """It was let in when nothing was owed; what comes soon after it is refused."""
    known = LimitSet(mean_tokens=100.0)
    known.admit(0.0, 300.0)
    known.admit(4.0, 300.0)
    known.refuse(4.1, 100.0)
    known.span(0.1, 100)
    assert known.bucket(1.0, 4.1).shallowest == 0
    assert known.bounds() is not None


def bounds_of(known: LimitSet) -> tuple[Any, ...]:
    """The lowest and the highest possible rate; empty if there is none."""
    return tuple(known.bounds() or ())


def test_evidence_that_no_bucket_fits_leaves_no_bounds() -> None:
    """Ten a second let in for ten seconds, then one refused that came a second later."""
    known = evidence(*((number / 10, True) for number in range(1000)), (101.0, False))
    assert known.bounds() is None
    known.take_back_refusal()
    assert bounds_of(known) == (pytest.approx(5.3, abs=0.5), math.inf)


def test_what_was_forgotten_no_longer_counts() -> None:
    """The refusals of higher rates, all that was before a refusal, everything."""
    sends = [(0.0, True), (0.025, False), (1.0, True), (1.1, False)]
    known = evidence(*sends)
    assert bounds_of(known) == (pytest.approx(0.1), pytest.approx(10, rel=0.01))
    known.lift(5.0, 3.0)
    known.span(0.1, 100)
    assert bounds_of(known) == (pytest.approx(0.1), pytest.approx(100))
    known.restore_refusals()
    assert bounds_of(known) == (pytest.approx(0.1), pytest.approx(10, rel=0.01))
    known.forget_all_before_refusal(2)
    known.span(0.1, 100)
    assert bounds_of(known) == (pytest.approx(0.1), pytest.approx(10, rel=0.01))
    known.forget_all()
    known.span(0.1, 100)
    assert bounds_of(known) == (pytest.approx(0.1), math.inf)


def test_many_starts_are_kept_in_little_room_and_say_the_same() -> None:
    """Ten thousand at twenty a second, with a refusal at half a gap: at least twenty, less than forty."""
    known = LimitSet()
    for number in range(10_000):
        known.admit(number / 20)
    known.refuse(10_000 / 20 - 0.025)
    for number in range(10_000):
        known.admit(501 + number / 20)
    assert len(known._seen) <= 2048
    known.span(10, 100)
    bounds = known.narrow()
    assert bounds is not None
    assert 17 < bounds.low <= 20.1
    assert bounds.high == pytest.approx(40, rel=0.02)


def test_joined_starts_say_the_same_of_a_bucket_that_was_full_in_between() -> None:
    """A pause is no gap between starts that are joined: what was earned in it stays known."""
    joined, single = LimitSet(), list[tuple[float, bool]]()
    for start in range(0, 300, 10):
        for number in range(100):
            single.append((start + number / 40, True))
    single.append((300.0, True))
    for at, _ in single:
        joined.admit(at)
    assert len(joined._seen) < len(single)
    joined.span(1, 100)
    known = LimitSet()
    known._seen = [Seen(at, 1, 0.0, at) for at, _ in single]
    known.span(1, 100)
    for rate in (5.0, 20.0, 35.0):
        assert joined.bucket(rate, 300).shallowest == pytest.approx(known.bucket(rate, 300).shallowest, abs=1)


def test_starts_at_one_instant_are_joined_with_all_that_they_take() -> None:
    """Two hundred at once, again and again: no bucket is less deep."""
    known = LimitSet()
    for number in range(4000):
        known.admit(float(number // 200 * 100))
    known.span(1, 10)
    assert known.bucket(5.0, 2000).shallowest == pytest.approx(200, abs=0.5)


def test_a_rate_known_to_within_what_is_held_back_is_not_exceeded() -> None:
    """Between 999.95 and 1,000.02 a second there is nothing to find: 998 are sent."""
    seconds, refused = run(World(1000, 1, items=8_000))
    assert seconds < 1.5 * 8
    assert refused < 18


def test_late_refusals_of_many_requests_do_not_contradict_the_evidence() -> None:
    """What is refused in a wave that takes two seconds is some hundreds, but not twice the work."""
    world = World(300, 300, refusal=2.0, items=9_000)
    seconds, refused = run(world)
    assert seconds < 1.06 * world.ideal_seconds
    assert refused < 500


@pytest.mark.parametrize(("pause", "least", "most"), [(0.0, 28, 40), (1.0, 20, 36), (20.0, 18, 28)])
def test_the_dearer_a_refusal_is_the_more_careful_is_the_choice(
    pause: float, least: float, most: float
) -> None:
    """Somewhere between 20 and 40 a second: near the lower end if a refusal costs twenty seconds."""
    known = evidence(*((number / 20, True) for number in range(200)), (199.5 / 20, False))
    known.span(19, 42)
    bounds = known.bounds()
    assert bounds is not None
    chosen = best_rate(known.buckets(bounds, 10.0), bounds, pause=pause, price=0.1)
    assert least <= chosen <= most


def sent(under_way: int, rate: float = 10.0) -> Sent:
    """A request, so many under way with it."""
    return Sent(0.0, rate, under_way)


def test_a_number_under_way_is_a_limit_only_if_it_fits_all_that_was_seen() -> None:
    """Four under way were refused, twice, and three were served; one served among four refutes it."""
    crowd = Crowd()
    crowd.served(sent(3))
    crowd.refused(sent(4))
    assert not crowd.is_proved(rate_is_possible=False)
    crowd.refused(sent(4))
    assert crowd.is_proved(rate_is_possible=False)
    assert not crowd.is_proved(rate_is_possible=True)
    crowd.refused(sent(5, rate=50.0))
    assert crowd.is_proved(rate_is_possible=True)
    crowd.served(sent(4))
    assert not crowd.is_proved(rate_is_possible=False)


def test_a_cap_is_tried_from_time_to_time_and_given_up_if_it_does_not_help() -> None:
    """One more after a while; refused, it is one fewer again. Refused within the cap, there is none."""
    crowd = Crowd()
    crowd.served(sent(3))
    for _ in range(2):
        crowd.refused(sent(4))
    crowd.keep_cap(10.0)
    assert crowd.room == 3
    crowd.try_more(15.0, 10.0)
    assert crowd.room == 3
    crowd.try_more(21.0, 10.0)
    assert crowd.room == 4
    assert crowd.refused(sent(4))
    assert crowd.room == 3
    assert not crowd.refused(sent(2))
    assert crowd.room == math.inf


def ticket(number: int, at: float) -> Ticket:
    """The ticket of a request."""
    return Ticket(number, 0, at, 1, 0.0)


def test_a_request_is_settled_in_the_order_of_sending() -> None:
    """One that is answered waits for those before it; those before a refused one were let in."""
    requests = SentRequests()
    for number in range(1, 5):
        requests.add(ticket(number, number / 10), 1.0)
    requests.answered(ticket(2, 0.2), 1.0)
    assert list(requests.settle(1.0, limited=False)) == []
    assert requests.refused(ticket(3, 0.3), 1.1) is not None
    assert [one.at for one in requests.settle_before(ticket(3, 0.3))] == [0.1, 0.2]
    assert requests.settled == 2
    assert requests.refusal_seconds == pytest.approx(1.5 * 0.8 + 0.1)
    assert list(requests.settle(1.5, limited=True)) == []
    assert [one.at for one in requests.settle(2.0, limited=True)] == [0.4]


def test_an_answer_is_overdue_after_half_as_long_again_as_the_longest_took() -> None:
    """Before the first answer none is."""
    requests = SentRequests()
    requests.add(ticket(1, 0.0), 1.0)
    requests.add(ticket(2, 0.0), 1.0)
    assert requests.overdue(100.0) is None
    requests.answered(ticket(1, 0.0), 1.0)
    list(requests.settle(1.0, limited=False))
    assert requests.overdue(1.5) is None
    late = requests.overdue(1.52)
    assert late is not None
    assert late.at == 0.0


WORLDS = {
    "bucket of one, 5/s": (World(5, 1), 1.2, 8),
    "bucket of one, 60/s": (World(60, 1), 1.15, 8),
    "bucket of one, 300/s": (World(300, 1, items=6000), 1.25, 120),
    "a second's worth, 5/s": (World(5, 5), 1.06, 8),
    "a second's worth, 60/s": (World(60, 60), 1.08, 73),
    "ten seconds' worth, 60/s": (World(60, 600), 1.06, 84),
    "answers of eight seconds": (World(5, 5, service=8.0), 1.06, 8),
    "late refusals": (World(60, 1, refusal=2.0), 1.25, 73),
    "penalty": (World(60, 60, penalty=20.0), 2.5, 73),
    "cap": (World(1e6, 1e6, service=1.0, cap=20, items=1200), 1.2, 24),
    "cap and rate": (World(9, 1, service=1.0, cap=10), 1.25, 11),
    "tokens": (World(5, 5, sizes=SIZES), 1.1, 8),
    "tokens, a bucket of one": (World(20, 1, sizes=SIZES), 1.25, 24),
    "tokens, ten seconds' worth": (World(20, 200, sizes=SIZES), 1.06, 28),
    "half the limit": (World(60, 60, change=(30.0, 0.5)), 1.15, 73),
    "twice the limit": (World(5, 5, change=(30.0, 2.0)), 1.4, 8),
}


@pytest.mark.parametrize("name", WORLDS)
def test_an_unknown_limit_costs_little(name: str) -> None:
    """In time against a client that knows it, and in refusals."""
    world, most, most_refused = WORLDS[name]
    seconds, refused = run(world)
    assert seconds <= most * world.ideal_seconds
    assert refused <= most_refused


def test_answers_that_come_at_once_are_not_waited_for() -> None:
    """Five thousand of them take no minute although none was ever refused."""
    seconds, refused = run(World(1e9, 1e9, service=0.001, items=5_000))
    assert refused == 0
    assert seconds < 8


class Overloaded(Exception):
    """A refusal that states no wait."""

    status_code = 429


def seconds_with(refuses: Callable[[int, float], bool], items: int) -> float:
    """How long items take at a provider that has no limit and refuses by number and instant."""
    sent: list[float] = []

    async def call(prompt: str) -> str:
        sent.append(anyio.current_time())
        refused = refuses(len(sent), sent[-1] - sent[0])
        await anyio.sleep(0.05 if refused else 0.3)
        if refused:
            raise Overloaded
        return prompt

    names = [str(number) for number in range(items)]
    batch = one_batch("asyncio", names, call, limits=None, workers=20, max_rate_limit_retries=100)
    assert batch.succeeded == items
    return batch.seconds


@pytest.mark.parametrize(("period", "items"), [(3.0, 600), (5.0, 700)])
def test_waves_that_no_rate_avoids_do_not_wear_the_rate_down(period: float, items: int) -> None:
    """All is refused for half a second, again and again: a lower rate is refused as soon as a higher one."""
    usual = seconds_with(lambda *_: False, items)
    assert seconds_with(lambda _, at: at > period and at % period < 0.5, items) < 5 * usual


def test_long_waves_are_found_to_have_another_cause() -> None:
    """Ten of twenty seconds are lost, and a part of the others by longer and longer pauses."""
    assert seconds_with(lambda _, at: at % 20 >= 10, 2000) < 190


def test_a_wave_that_no_bucket_fits_does_not_limit_the_rate() -> None:
    """A thousand at sixty a second are let in, and one that comes after a gap is refused."""
    pace = Pace(Limits())
    for number in range(1, 1001):
        one = ticket(number, number / 60)
        pace.start(one)
        pace.answered(one, one.sent + 0.01)
    late = ticket(1001, 1000 / 60 + 0.12)
    pace.start(late)
    pace.refused(late, 1.0, late.sent + 0.01, alone=False)
    assert pace.per_second >= 60


def test_refusals_at_any_rate_do_not_wear_the_rate_down() -> None:
    """Every second request is refused: the pauses cost time, and the rate does not."""
    assert seconds_with(lambda number, _: number % 2 == 0, 60) < 1500


def test_a_known_limit_is_doubted_after_three_refusals_in_a_minute() -> None:
    """One or two have another cause; then less is let through than is configured."""
    pace = Pace(Limits(requests_per_minute=600))
    for number in range(1, 4):
        at = float(number)
        pace.start(ticket(2 * number - 1, at))
        pace.start(ticket(2 * number, at + 0.1))
        assert pace.per_second == pytest.approx(9.95)
        pace.refused(ticket(2 * number, at + 0.1), 0.5, at + 0.2, alone=False)
    assert pace.per_second < 9.95
    assert "Pace" in repr(pace)


def test_the_pace_reports_changes_by_a_tenth() -> None:
    """Growth is reported in steps, and so is a cut."""
    changes: list[tuple[float, float]] = []
    run(World(60, 1, items=600), on_change=lambda *rates: changes.append(rates))
    assert len(changes) > 4
    assert all(new >= old * 1.1 or new <= old / 1.1 for old, new in changes)


def test_stated_limits_become_the_pace() -> None:
    """A rate that an answer states is kept, also for tokens; a configured one is not raised."""
    pace = Pace(Limits())
    quota = Quota(600, 3, None, 10.0)
    pace.learn(RateInfo(requests=quota, tokens=Quota(6000, 100, None, 100.0)), number=0, sent=0.0, now=0.0)
    assert pace.per_second == pytest.approx(9.95)
    assert pace.opens_at(50, 0.0) <= 0.0
    assert pace.opens_at(200, 0.0) == pytest.approx(100 / 99.5)
    pace = Pace(Limits(requests_per_minute=60, tokens_per_minute=60))
    pace.learn(RateInfo(requests=quota, tokens=Quota(6000, 100, None, 100.0)), number=0, sent=0.0, now=0.0)
    assert pace.per_second == pytest.approx(0.995)


def test_the_budget_of_a_day_is_no_rate() -> None:
    """A thousand requests in a day may go at once."""
    pace = Pace(Limits())
    pace.learn(RateInfo(requests=Quota(1000, 999, None, 1000 / 86400)), number=0, sent=0.0, now=0.0)
    assert pace.per_second == 40


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute", "burst", "token_burst"])
def test_limits_out_of_range(name: str) -> None:
    """The error names the limit."""
    with pytest.raises(ValueError, match=f"^{name} must be above 0, not 0"):
        Limits(**{name: 0})


def test_a_started_request_takes_its_tokens_from_the_pace() -> None:
    """A hundred in a second, and all of the burst is spent: the next hundred wait for a second."""
    pace = Pace(Limits(tokens_per_minute=6000, token_burst=100))
    pace.start(Ticket(1, 0, 1.0, 1, 100.0))
    assert pace.opens_at(100, 1.0) == pytest.approx(2.0, rel=0.02)


def test_the_rate_doubles_where_the_number_left_is_not_known() -> None:
    """No number of requests makes the work short then."""
    pace = Pace(Limits())
    for number in (1, 2):
        pace.start(Ticket(number, 0, 1.0, number, 1.0))
    pace.opens_at(1, 1.0)
    pace.answered(Ticket(1, 0, 1.0, 1, 1.0), 1.1)
    assert pace.per_second == 80


def test_another_configured_limit_is_the_pace_from_then_on() -> None:
    """From ten a second to twenty."""
    pace = Pace(Limits(requests_per_minute=600))
    pace.retune(Limits(requests_per_minute=1200), 1.0)
    assert pace.per_second == pytest.approx(20, rel=0.01)
