"""Budgets by the minute and the day, growth, several tables of limits at once."""

from __future__ import annotations

from typing import Any

import pytest

from wavetank.clock import DAY, HOUR, MILLISECOND, MINUTE, SECOND, Duration
from wavetank.provider.model import BucketState, Outcome, Refusal, Success
from wavetank.provider.provider import Provider
from wavetank.provider.request import Request
from wavetank.scenario import DurationRange, Latency, Limits, Match, Ramp, RetryAfter, Scenario, Wave

ANSWER = 8  # tokens of the fake's whole answer to an item


def ask(number: int, **fields: Any) -> Request:
    """A request of two prompt tokens whose answer may be as long as it is."""
    default: dict[str, Any] = {
        "id": number,
        "model": "gpt-5",
        "secret": "sk-one",
        "key": "key-1",
        "item": f"item-{number}",
        "declared": True,
        "prompt": "hello",
        "prompt_tokens": 2,
    }
    return Request(**default | fields)


def seconds(value: float) -> Duration:
    """A duration in nanoseconds."""
    return Duration(round(value * SECOND))


def limited(*tables: Limits, latency: float = 0, **fields: Any) -> Provider:
    """A provider with these tables of limits, the first of them as `[limits]`."""
    first = DurationRange(seconds(latency), seconds(latency))
    scenario = Scenario(limits=tables[0], limit=tables[1:], latency=Latency(first_token=first), **fields)
    return Provider(scenario)


def outcome(provider: Provider, request: Request, at: int) -> Outcome:
    """What a request gets that arrives at an instant, with all before it answered."""
    provider.advance(at)
    provider.arrive(request, at)
    replies = []
    while (due := provider.next_due()) is not None:
        replies += provider.advance(due)
    return replies[-1].outcome


def described(found: Outcome) -> tuple[str, str, int | None]:
    """Reason, error and Retry-After of a refusal; ("", "", None) for an answer."""
    if isinstance(found, Success):
        return "", "", None
    return found.reason, found.error, found.retry_after.value if found.retry_after is not None else None


GOOD = ("", "", None)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(input_tokens_per_minute=60, burst=seconds(2)), "input-tokens"),
        (Limits(output_tokens_per_minute=240, burst=seconds(2)), "output-tokens"),
        (Limits(tokens_per_minute=300, burst=seconds(2)), "tokens"),
    ],
)
def test_each_kind_of_tokens_has_a_budget(limits: Limits, reason: str) -> None:
    """Prompt, answer and their sum are counted apart; the third second lets the next request in."""
    provider = limited(limits)
    assert described(outcome(provider, ask(1), 0)) == GOOD
    assert described(outcome(provider, ask(2), SECOND // 2)) == (reason, "rate-limit", 2 * SECOND)
    assert described(outcome(provider, ask(3), 2 * SECOND)) == GOOD


def test_unused_output_comes_back_when_the_answer_ends() -> None:
    """`max_tokens` is reserved on arrival; at the end of the answer only its tokens are spent."""
    provider = limited(Limits(output_tokens_per_minute=600, burst=seconds(10)), latency=1)
    provider.arrive(ask(1, max_tokens=100), 0)
    provider.arrive(ask(2, max_tokens=100), 0)
    first, second = (reply.outcome for reply in provider.advance(SECOND))
    assert (described(first), described(second)[0]) == (("output-tokens", "rate-limit", 10 * SECOND), "")
    left = provider._limiter.state(ask(3), SECOND).output_tokens
    assert left == BucketState(600, 100, 0)
    assert described(outcome(provider, ask(3, max_tokens=100), SECOND)) == GOOD


def test_a_client_that_leaves_gets_back_what_it_did_not_use() -> None:
    """The provider had the whole answer made; the rest of the reservation is free."""
    provider = limited(Limits(output_tokens_per_minute=60, burst=seconds(60)), latency=9)
    provider.arrive(ask(1, max_tokens=60), 0)
    provider.leave(1, 0)
    left = provider._limiter.state(ask(2), 0).output_tokens
    assert left is not None
    assert left.remaining == 60 - ANSWER


def test_what_a_barrier_refuses_uses_no_output() -> None:
    """Held requests reserve; when they are refused all of it comes back."""
    provider = limited(
        Limits(output_tokens_per_minute=60, burst=seconds(60)), wave=(Wave(when_in_flight=1, times=1),)
    )
    provider.arrive(ask(1, max_tokens=60), 0)
    assert provider._limiter.state(ask(2), 0).output_tokens == BucketState(60, 60, 0)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(input_tokens_per_minute=100),
        Limits(output_tokens_per_minute=100),
        Limits(tokens_per_minute=100),
        Limits(tokens_per_day=100),
    ],
)
def test_a_request_dearer_than_a_whole_budget_is_too_large(limits: Limits) -> None:
    """The refusal says so, without a Retry-After."""
    found = outcome(limited(limits), ask(1, prompt_tokens=101, max_tokens=101), 0)
    assert described(found)[1:] == ("too-large", None)


def test_a_calendar_day_is_whole_again_at_its_hour() -> None:
    """The quota is refused until the day begins, at 08:00 UTC here, and Retry-After points there."""
    provider = limited(Limits(requests_per_day=2, day_begins=Duration(8 * HOUR)))
    assert [described(outcome(provider, ask(n), n * MINUTE)) for n in (1, 2)] == [GOOD, GOOD]
    wait = 8 * HOUR - 3 * MINUTE
    assert described(outcome(provider, ask(3), 3 * MINUTE)) == ("requests-per-day", "quota", wait)
    assert described(outcome(provider, ask(4), 8 * HOUR - 1))[0] == "requests-per-day"
    assert described(outcome(provider, ask(5), 8 * HOUR)) == GOOD
    assert provider._limiter.state(ask(6), 8 * HOUR).requests_per_day == BucketState(2, 1, DAY, DAY)


def test_days_are_counted_by_the_epoch() -> None:
    """A run that starts at 23:00 UTC has a new day after an hour."""
    limits = Limits(requests_per_day=1)
    provider = Provider(Scenario(limits=limits), epoch_ns=23 * HOUR)
    assert described(outcome(provider, ask(1), 0)) == GOOD
    assert described(outcome(provider, ask(2), 0)) == ("requests-per-day", "quota", HOUR)
    assert described(outcome(provider, ask(3), HOUR)) == GOOD


def test_a_rolling_day_refills_all_the_time() -> None:
    """24 requests a day come back one by one, an hour each."""
    provider = limited(Limits(requests_per_day=24, day="rolling"))
    assert {described(outcome(provider, ask(n), 0)) for n in range(24)} == {GOOD}
    assert described(outcome(provider, ask(30), 0)) == ("requests-per-day", "quota", HOUR)
    assert described(outcome(provider, ask(31), HOUR)) == GOOD


def test_a_reservation_of_yesterday_is_not_given_back_today() -> None:
    """An answer that ends after midnight changes nothing of the new day's budget."""
    provider = limited(Limits(tokens_per_day=100), latency=20)
    provider.arrive(ask(1, max_tokens=50), DAY - 10 * SECOND)
    provider.arrive(ask(2, max_tokens=20), DAY + 5 * SECOND)
    provider.advance(DAY + 10 * SECOND)
    left = provider._limiter.state(ask(3), DAY + 10 * SECOND).tokens_per_day
    assert left is not None
    assert left.remaining == 100 - 22


def test_a_limit_states_its_wait_as_the_provider_does() -> None:
    """`retry_after` of a table gives the form and the value of its refusals."""
    rules = (RetryAfter(form="none"), RetryAfter(form="ms"), RetryAfter(value=seconds(7)))
    found = []
    for rule in rules:
        provider = limited(Limits(requests_per_day=1, day_begins=Duration(HOUR), retry_after=rule))
        outcome(provider, ask(1), 0)
        refused = outcome(provider, ask(2), HOUR // 2 + 1)
        assert isinstance(refused, Refusal)
        found.append(refused.retry_after and (refused.retry_after.form, refused.retry_after.value))
    assert found == [None, ("ms", HOUR // 2 - 10 * MILLISECOND), ("seconds", 7 * SECOND)]


def test_a_quota_opens_no_penalty() -> None:
    """The penalty is for going too fast; each refusal of a day's quota says that it is one."""
    provider = limited(Limits(requests_per_day=1, penalty=seconds(5)))
    found = [described(outcome(provider, ask(n), n))[0] for n in range(3)]
    assert found == ["", "requests-per-day", "requests-per-day"]


def test_traffic_may_grow_by_so_many_percent() -> None:
    """Four are free; then each minute may have half as many again as the one before."""
    provider = limited(Limits(ramp=Ramp(requests=4, growth_percent=50, window=Duration(MINUTE))))
    passed = []
    for minute in range(5):
        found = [described(outcome(provider, ask(n), minute * MINUTE + n)) for n in range(20)]
        passed.append(found.count(GOOD))
    assert passed == [4, 6, 9, 13, 19]
    assert described(outcome(provider, ask(30), 4 * MINUTE + 30 * SECOND)) == ("ramp", "ramp", 30 * SECOND)


def test_a_quiet_window_takes_growth_back() -> None:
    """After a window without traffic only what is free passes."""
    provider = limited(Limits(ramp=Ramp(tokens=30, growth_percent=100, window=Duration(MINUTE))))
    passed = []
    for minute in (0, 1, 3):
        found = [described(outcome(provider, ask(n), minute * MINUTE)) for n in range(10)]
        passed.append(found.count(GOOD))
    assert passed == [3, 6, 3]


def test_the_first_of_a_window_passes_however_dear() -> None:
    """A request above what is free is not kept out for ever."""
    provider = limited(Limits(ramp=Ramp(tokens=5, window=Duration(MINUTE))))
    assert described(outcome(provider, ask(1), 0)) == GOOD
    assert described(outcome(provider, ask(2), SECOND)) == ("ramp", "ramp", 59 * SECOND)
    assert described(outcome(provider, ask(3), MINUTE)) == GOOD


def test_several_tables_hold_at_once() -> None:
    """The account's budget and each key's are both spent; the refusal speaks for the one that is short."""
    provider = limited(Limits(requests_per_day=3), Limits(requests_per_day=2, scope="key"))
    other = {"secret": "sk-two", "key": "key-2"}
    found = [outcome(provider, ask(n, **fields), 0) for n, fields in enumerate([{}, {}, {}, other, other])]
    assert [o.scope if isinstance(o, Refusal) else "" for o in found] == ["", "", "key:key-1", "", "account"]


def test_what_one_table_refuses_spends_nothing_of_another() -> None:
    """A request is let in by all tables or counted by none."""
    provider = limited(Limits(tokens_per_day=100), Limits(requests_per_minute=1))
    for number in range(5):
        outcome(provider, ask(number), 0)
    assert provider._limiter.state(ask(9), 0).tokens_per_day == BucketState(100, 90, DAY, DAY)


def test_headers_state_the_tightest_of_several_tables() -> None:
    """Of two budgets of a kind the headers state the one with less left."""
    provider = limited(
        Limits(requests_per_minute=600, burst=seconds(60)),
        Limits(requests_per_minute=60, burst=seconds(60), scope="model"),
    )
    found = outcome(provider, ask(1), 0)
    assert found.limits.requests == BucketState(60, 59, SECOND)


def test_a_table_counts_what_it_matches() -> None:
    """A budget for one family of models leaves the others alone."""
    table = Limits(requests_per_day=1, match=Match(model="gpt-*"), scope="model")
    provider = limited(Limits(), table)
    found = [
        outcome(provider, ask(n, model=model), 0) for n, model in enumerate(["gpt-5", "gpt-5", "claude"])
    ]
    assert [described(each)[0] for each in found] == ["", "requests-per-day", ""]
    assert found[2].limits.requests_per_day is None


def test_a_cap_of_one_table_is_freed_on_leaving() -> None:
    """Caps of several tables count apart and go down together."""
    provider = limited(Limits(concurrent=2), Limits(concurrent=1, scope="model"), latency=1)
    provider.arrive(ask(1), 0)
    provider.arrive(ask(2), 0)
    assert [described(reply.outcome)[0] for reply in provider.advance(MINUTE)] == ["concurrent", ""]
    assert [table._in_flight for table in provider._limiter._tables] == [{}, {}]


@pytest.mark.parametrize(
    "limits",
    [
        Limits(requests_per_day=5, scope="item"),
        Limits(ramp=Ramp(requests=5, window=Duration(MINUTE)), scope="item"),
        Limits(requests_per_minute=5, penalty=seconds(1), scope="item"),
    ],
)
def test_scope_values_of_long_ago_are_forgotten(limits: Limits) -> None:
    """When their budgets are whole again they are like new, and take no memory."""
    provider = limited(limits)
    for number in range(1, 1100):
        outcome(provider, ask(number), 0)
    assert len(provider._limiter._tables[0]._budgets) == 1099
    for number in range(2000, 3100):
        outcome(provider, ask(number), 2 * DAY)
    assert len(provider._limiter._tables[0]._budgets) == 1100
