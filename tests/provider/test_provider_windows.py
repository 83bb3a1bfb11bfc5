"""Budgets by the clock, in a sliding window, in windows of any length, and refusals that count."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavetank.clock import HOUR, MINUTE, SECOND, Duration
from wavetank.provider.meters import Calendar, Meter, Sliding
from wavetank.provider.model import BucketState, Success
from wavetank.provider.provider import Provider
from wavetank.provider.request import Request
from wavetank.scenario import DurationRange, Fault, Latency, Limits, ProviderClock, Scenario, Wave

GOOD = "let in"


def ask(number: int, **fields: Any) -> Request:
    """A request of two prompt tokens."""
    given: dict[str, Any] = {"model": "gpt-5", "item": f"item-{number}", "key": "key-1", "prompt": "hello"}
    return Request(id=number, declared=True, prompt_tokens=2, **given | fields)


def limited(*tables: Limits, **fields: Any) -> Provider:
    """A provider with these tables of limits, that takes no time."""
    now = DurationRange(Duration(0), Duration(0))
    latency = fields.pop("latency", Latency(refusal=now))
    return Provider(Scenario(limits=tables[0], limit=tables[1:], latency=latency, **fields))


def outcomes(provider: Provider, *instants: int, **fields: Any) -> list[str | int]:
    """`GOOD`, or the seconds that a refusal states, of a request at each instant."""
    found: list[str | int] = []
    for at in instants:
        number = provider._next = getattr(provider, "_next", 0) + 1  # type: ignore[attr-defined]
        provider.arrive(ask(number, **fields), at)
        while (due := provider.next_due()) is not None:
            for reply in provider.advance(due):
                if isinstance(reply.outcome, Success):
                    found += [GOOD] if reply.last else []
                else:
                    wait = reply.outcome.retry_after
                    found.append(-1 if wait is None else wait.value // SECOND)
    return found


def seconds(*counts: float) -> list[int]:
    """Instants, or lengths of time."""
    return [round(count * SECOND) for count in counts]


def state(provider: Provider, at: float) -> BucketState | None:
    """What is stated of requests."""
    return provider._limiter.state(ask(0), round(at * SECOND)).requests


def test_a_calendar_minute_is_whole_again_when_the_clock_begins_one() -> None:
    """All may be spent at once, also at the end of a minute; a refusal states the end of the minute."""
    provider = limited(Limits(requests_per_minute=2, window="calendar"))
    assert outcomes(provider, *seconds(50, 59, 59.5, 60, 60, 60, 119)) == [GOOD, GOOD, 1, GOOD, GOOD, 60, 1]
    assert state(provider, 119) == BucketState(2, 0, SECOND, MINUTE)
    assert state(provider, 120) == BucketState(2, 2, 0, MINUTE)


def test_windows_are_those_of_the_provider_s_clock() -> None:
    """A clock that is 20 s ahead begins the minute 20 s earlier."""
    clock = ProviderClock(ahead=Duration(20 * SECOND))
    provider = limited(Limits(requests_per_minute=1, window="calendar"), clock=clock)
    assert outcomes(provider, *seconds(0, 39, 40)) == [GOOD, 1, GOOD]


def test_a_sliding_window_counts_what_was_let_in_in_the_last_minute() -> None:
    """Each request counts until a minute after it, to the nanosecond."""
    provider = limited(Limits(requests_per_minute=2, window="sliding"))
    assert outcomes(provider, *seconds(0, 50, 59)) == [GOOD, GOOD, 1]
    assert state(provider, 59) == BucketState(2, 0, 51 * SECOND, MINUTE)
    assert outcomes(provider, MINUTE - 1, MINUTE, MINUTE + 1) == [1, GOOD, 50]
    assert state(provider, 115) == BucketState(2, 1, 5 * SECOND, MINUTE)
    assert state(provider, 120) == BucketState(2, 2, 0, MINUTE)


@pytest.mark.parametrize(
    ("window", "found"),
    [
        ("bucket", [GOOD, GOOD, 1, 1, GOOD, GOOD]),
        ("calendar", [GOOD, GOOD, 1, GOOD, GOOD, 1]),
        ("sliding", [GOOD, GOOD, 1, 1, GOOD, GOOD]),
    ],
)
def test_a_window_may_be_a_second(window: Any, found: list[Any]) -> None:
    """Two a second, in each of the three ways."""
    provider = limited(Limits(requests=2, per=Duration(SECOND), window=window))
    assert outcomes(provider, *seconds(0.7, 0.8, 0.9, 1.1, 1.7, 1.9)) == found


def test_a_bucket_holds_no_more_than_its_window_has() -> None:
    """A window may be shorter than the burst."""
    provider = limited(Limits(requests=2, per=Duration(SECOND // 2)))
    assert outcomes(provider, 0, 0, 0) == [GOOD, GOOD, 1]


def test_a_bucket_may_be_of_hours() -> None:
    """Sixty in five hours is one each five minutes, and one at once."""
    provider = limited(Limits(requests=60, per=Duration(5 * HOUR)))
    assert outcomes(provider, *seconds(0, 1, 300)) == [GOOD, 299, GOOD]


@pytest.mark.parametrize("window", ["calendar", "sliding"])
def test_tokens_are_counted_in_windows_too(window: Any) -> None:
    """What an answer does not need comes back when it ends, to the window in which it was reserved."""
    latency = Latency(first_token=DurationRange(Duration(5 * SECOND), Duration(5 * SECOND)))
    limits = Limits(output_tokens=100, per=Duration(10 * SECOND), window=window)
    provider = limited(limits, latency=latency)
    provider.arrive(ask(1, max_tokens=90), 8 * SECOND)
    left = [provider._limiter.state(ask(0), at).output_tokens for at in seconds(8, 9)]
    provider.advance(13 * SECOND)
    left.append(provider._limiter.state(ask(0), 13 * SECOND).output_tokens)
    remaining = [bucket.remaining for bucket in left if bucket is not None]
    assert remaining == [10, 10, {"calendar": 100, "sliding": 100 - 8}[window]]


@pytest.mark.parametrize("window", ["calendar", "sliding"])
def test_a_request_dearer_than_a_window_is_too_large(window: Any) -> None:
    """It never passes, however long it waits."""
    provider = limited(Limits(input_tokens=1, per=Duration(SECOND), window=window))
    assert outcomes(provider, 0) == [-1]


def test_windows_of_several_lengths_hold_at_once() -> None:
    """Ten a second and twelve a minute; the headers state the one with less left."""
    second = Limits(requests=10, per=Duration(SECOND), window="calendar")
    provider = limited(second, Limits(requests_per_minute=12, window="calendar"))
    assert outcomes(provider, *[0] * 11) == [*[GOOD] * 10, 1]
    assert state(provider, 0) == BucketState(10, 0, SECOND, SECOND)
    assert outcomes(provider, *[SECOND] * 3) == [GOOD, GOOD, 59]
    assert state(provider, 1) == BucketState(12, 0, 59 * SECOND, MINUTE)


# -- refusals that count ---------------------------------------------------------------------------


def test_a_client_that_does_not_stop_is_never_let_in_again() -> None:
    """In a sliding window each refusal counts for a minute, and its own wait says so."""
    provider = limited(Limits(requests_per_minute=2, window="sliding", count_refused=True))
    assert outcomes(provider, *seconds(*range(0, 200, 10))) == [GOOD, GOOD, *[50] * 18]
    assert outcomes(provider, *seconds(190 + 50)) == [GOOD]


def test_a_bucket_is_emptied_by_refusals() -> None:
    """What has come in since the last attempt is gone, and no more than that."""
    provider = limited(Limits(requests=1, per=Duration(10 * SECOND), count_refused=True))
    assert outcomes(provider, *seconds(0, 9, 18, 27, 37)) == [GOOD, 10, 10, 10, GOOD]


def test_refusals_of_anything_count_against_the_requests_of_a_window() -> None:
    """Of waves and of other limits, as far as the window has some left; without the key they do not."""
    for counting, left in ((True, 0), (False, 4)):
        provider = limited(
            Limits(requests=4, per=Duration(MINUTE), window="calendar", count_refused=counting),
            wave=(Wave(lasts=Duration(SECOND)),),
        )
        assert set(outcomes(provider, *[0] * 6)) == {1}
        assert state(provider, 0) == BucketState(4, left, MINUTE if counting else 0, MINUTE)
    provider = limited(
        Limits(requests=4, per=Duration(MINUTE), window="calendar", count_refused=True),
        Limits(tokens=1, per=Duration(SECOND)),
    )
    assert outcomes(provider, 0) == [-1]
    assert state(provider, 0) == BucketState(4, 3, MINUTE, MINUTE)


def test_a_request_in_an_outage_counts_nowhere() -> None:
    """It never arrived."""
    fault = Fault(kind="no-answer", lasts=Duration(SECOND))
    provider = limited(Limits(requests_per_minute=60, count_refused=True), fault=(fault,))
    outcomes(provider, 0)
    assert state(provider, 0) == BucketState(60, 1, 0, MINUTE)


# -- against the definition ------------------------------------------------------------------------

STEPS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 4), st.integers(0, 3)), max_size=30)


@given(
    STEPS, st.integers(4, 9), st.integers(1, 60), st.sampled_from(["calendar", "sliding"]), st.integers(0, 99)
)
def test_a_window_lets_in_what_its_definition_does(
    steps: list[tuple[int, int, int]], limit: int, period: int, kind: str, shift: int
) -> None:
    """A cost passes if the window it falls in has so much left; after the stated wait it does, not before."""
    meter: Meter = Calendar(limit, period, shift, 0) if kind == "calendar" else Sliding(limit, period)
    spent: Counter[int] = Counter()

    def used(at: int) -> int:
        begin = at - period + 1 if kind == "sliding" else at - (at + shift) % period
        return sum(cost for when, cost in spent.items() if begin <= when <= at)

    now = 0
    for gap, cost, back in steps:
        now += gap
        wait = meter.wait(cost, now)
        instants = range(now, now + 2 * period + 1)
        assert wait == next(at for at in instants if used(at) + cost <= limit) - now
        found = meter.state(now)
        assert found is not None
        whole = next(at for at in instants if not used(at))
        assert (found.remaining, found.reset, found.per) == (limit - used(now), whole - now, period)
        assert meter.idle(now) is (used(now) == 0)
        if not wait:
            meter.spend(cost, now)
            spent[now] += cost
            given_back = min(cost, back)
            meter.refund(given_back, now)
            spent[now] -= given_back
