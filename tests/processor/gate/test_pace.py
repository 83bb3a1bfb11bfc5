"""Pacer, climber and pace: how a rate is kept, and how an unknown limit is found."""

from __future__ import annotations

import pytest

from wavetank.processor import Limits, Quota, RateInfo
from wavetank.processor.gate.climber import Climber, LatencyEstimate, StartCounter
from wavetank.processor.gate.pace import Pace
from wavetank.processor.gate.pacer import Pacer


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


def test_a_climber_grows_by_fifteen_percent_a_second() -> None:
    """Only with the time between two successes, and at most for a second of it."""
    climber = Climber(100)
    climber.grow(5.0)
    assert climber.value == 100
    climber.grow(5.5)
    assert climber.value == pytest.approx(107.5)
    climber.grow(50.0)
    assert climber.value == pytest.approx(107.5 * 1.15)
    climber.rest()
    climber.grow(50.5)
    assert climber.value == pytest.approx(107.5 * 1.15)


def test_a_climber_that_was_never_refused_grows_faster_from_three_times_its_start() -> None:
    """By half a second; one refusal, at whatever height, ends that for good."""
    climber = Climber(100.0)
    climber.value = 299.0
    climber.grow(0.0)
    climber.grow(1.0)
    assert climber.value == pytest.approx(299 * 1.15)
    climber.grow(2.0)
    assert climber.value == pytest.approx(299 * 1.15 * 1.5)
    climber.fall(500.0, 400.0, 3.0, ceiling=False)
    climber.grow(4.0)
    climber.grow(5.0)
    assert climber.value == pytest.approx(400 * 1.15)


def test_a_second_refusal_at_the_same_height_makes_a_ceiling() -> None:
    """After it the climb follows the cube of the time; after the first it goes on as before."""
    climber = Climber(100)
    assert climber.never_refused
    assert not climber.is_near_last_refusal(100)
    climber.fall(100, 60, 0.0, ceiling=False)
    assert not climber.never_refused
    assert [climber.is_near_last_refusal(height) for height in (44, 46, 124, 126)] == [
        False,
        True,
        True,
        False,
    ]
    climber.fall(90, 60, 10.0, ceiling=True)
    climber.grow(40.0)
    assert climber.value == pytest.approx(60 * 1.125)
    climber.grow(70.0)
    assert climber.value == pytest.approx(120)
    assert "at a ceiling" in repr(climber)


def test_a_climber_stays_between_its_ends() -> None:
    """It neither climbs above the highest nor falls below the lowest."""
    climber = Climber(100, highest=101, lowest=50)
    climber.grow(0.0)
    climber.grow(1.0)
    assert climber.value == 101
    climber.fall(101, 3, 0.0, ceiling=False)
    assert climber.value == 50


def test_a_tally_counts_the_starts_of_the_last_seconds() -> None:
    """Sixty a second are counted as such, whatever the window; what is old is forgotten."""
    tally = StartCounter()
    assert tally.per_second(0.0, 1.0) == 0
    for number in range(1200):
        tally.add(number / 60)
    assert tally.per_second(float("-inf"), 20.0) == pytest.approx(60, rel=0.02)
    assert tally.per_second(19.0, 20.0) == pytest.approx(60, rel=0.02)
    assert tally.per_second(float("-inf"), 40.0) == 0
    young = StartCounter()
    young.add(100.0)
    young.add(100.1)
    assert young.per_second(float("-inf"), 100.5) == pytest.approx(4)


def test_latency_follows_mean_and_deviation() -> None:
    """Regular answers have a bound close to them, irregular ones a wide one."""
    regular, wide = LatencyEstimate(), LatencyEstimate()
    for number in range(100):
        regular.add(0.05)
        wide.add(0.02 + 0.1 * (number % 2))
    assert regular.bound == pytest.approx(0.05)
    assert wide.mean == pytest.approx(0.07, abs=0.01)
    assert wide.bound > 0.2


def run_at(pace: Pace, seconds: float, *, now: float = 0.0, latency: float = 0.05) -> float:
    """Send as fast as the pace lets for so long, each request served; the instant after it."""
    ends = now + seconds
    while now < ends:
        at = pace.opens_at(0, now)
        if at > now:
            now = at
            continue
        pace.spend(0, now)
        pace.answered(latency)
        pace.served(now, crowded=False)
    return now


def test_an_unknown_limit_is_climbed_to() -> None:
    """Forty a second at first, and more while the pace is what holds requests back."""
    pace = Pace(Limits())
    assert pace.per_second == 40
    run_at(pace, 5)
    assert 70 < pace.per_second < 90


def test_the_pace_does_not_grow_while_it_holds_nothing_back() -> None:
    """Ten requests a second, one after the other, say nothing about eighty."""
    pace = Pace(Limits())
    for number in range(200):
        assert pace.opens_at(0, number / 10) <= number / 10
        pace.spend(0, number / 10)
        pace.answered(0.05)
        pace.served(number / 10 + 0.05, crowded=False)
    assert pace.per_second == 40


def test_the_pace_is_never_below_that_of_one_worker_before_a_refusal() -> None:
    """Answers of a millisecond let a thousand go in a second; after a refusal that no longer counts."""
    pace = Pace(Limits())
    pace.spend(0, 0.0)
    pace.answered(0.001)
    pace.served(0.001, crowded=False)
    assert pace.per_second == pytest.approx(1000)


def test_a_refusal_cuts_the_pace_to_what_had_started_but_at_most_by_half() -> None:
    """Once to nine tenths of what went through, and never deeper than to a half."""
    pace = Pace(Limits())
    now = run_at(pace, 5)
    before = pace.per_second
    pace.refused(now, 4, float("-inf"), now)
    assert before * 0.5 < pace.per_second < before * 0.9
    assert pace.room == 3
    pace = Pace(Limits())
    pace.spend(0, 0.0)
    pace.opens_at(0, 0.0)
    pace.refused(0.0, 2, float("-inf"), 0.0)
    assert pace.per_second == 20
    assert pace.room == 3


def test_room_is_made_small_when_the_pace_cannot_be_the_reason() -> None:
    """Refused again with as many under way, at a pace that held nothing back: so many are too many."""
    pace = Pace(Limits())
    for at in (0.0, 10.0):
        for number in range(6):
            pace.opens_at(0, at + number)
            pace.spend(0, at + number)
        pace.refused(at + 5, 6, float("-inf"), at + 5)
    assert pace.room == 5
    assert "room for 5" in repr(pace)
    pace.served(17.0, crowded=True)
    pace.served(46.0, crowded=True)
    assert 5 < pace.room < 6


def test_a_configured_limit_is_the_rate_and_recovers_after_a_cut() -> None:
    """It starts half a percent below, goes in no rounds, and climbs back no higher."""
    pace = Pace(Limits(requests_per_minute=6000))
    assert pace.per_second == pytest.approx(99.5)
    now = run_at(pace, 3)
    assert not pace.in_rounds
    pace.refused(now, 5, float("-inf"), now)
    assert pace.per_second < 95
    run_at(pace, 20, now=now)
    assert pace.per_second == pytest.approx(99.5)


def test_rounds_are_for_quick_and_regular_answers() -> None:
    """While an unknown pace holds requests back; slow or irregular answers are not waited for."""
    quick, slow = Pace(Limits()), Pace(Limits())
    assert not quick.in_rounds
    assert quick.round_wait_seconds == pytest.approx(0.1)
    assert quick.crowded_wait_seconds == 10
    run_at(quick, 1)
    assert quick.in_rounds
    assert quick.round_wait_seconds == 1
    run_at(slow, 1, latency=0.3)
    assert not slow.in_rounds
    assert slow.crowded_wait_seconds == 1
    run_at(slow, 1, now=2, latency=3)
    assert slow.crowded_wait_seconds > 6


def test_the_pace_reports_changes_by_a_tenth() -> None:
    """Growth is reported in steps, and so is the cut."""
    changes: list[tuple[float, float]] = []
    pace = Pace(Limits(), on_change=lambda *rates: changes.append(rates))
    now = run_at(pace, 3)
    pace.refused(now, 4, float("-inf"), now)
    *grown, (before_cut, after_cut) = changes
    assert after_cut < before_cut
    assert grown
    assert all(new >= old * 1.1 for old, new in grown)


def test_stated_limits_become_the_pace() -> None:
    """A rate that an answer states is kept, also for tokens; a configured one is not raised."""
    pace = Pace(Limits())
    quota = Quota(600, 3, None, 10.0)
    pace.learn(RateInfo(requests=quota, tokens=Quota(6000, 100, None, 100.0)), sent=0.0, later=1, now=0.0)
    assert pace.per_second == pytest.approx(9.95)
    assert not pace.in_rounds
    assert pace.opens_at(50, 0.0) <= 0.0
    assert pace.opens_at(200, 0.0) == pytest.approx(100 / 99.5)
    pace = Pace(Limits(requests_per_minute=60, tokens_per_minute=60))
    pace.learn(RateInfo(requests=quota, tokens=Quota(6000, 100, None, 100.0)), sent=0.0, later=0, now=0.0)
    assert pace.per_second == pytest.approx(0.995)


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute", "burst", "token_burst"])
def test_limits_out_of_range(name: str) -> None:
    """The error names the limit."""
    with pytest.raises(ValueError, match=f"^{name} must be above 0, not 0"):
        Limits(**{name: 0})
