"""The rules of the provider, one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from wavetank.clock import MILLISECOND, MINUTE, SECOND, Duration
from wavetank.provider.answer_texts import marks_in
from wavetank.provider.model import Outcome, Refusal, Reply, Success, WireRetryAfter
from wavetank.provider.provider import Provider
from wavetank.provider.request import Request
from wavetank.scenario import (
    Answers,
    DurationRange,
    Fault,
    Latency,
    Limits,
    Match,
    RetryAfter,
    Scenario,
    Wave,
)

from .notices import waves_and_held

REFUSAL = 10 * MILLISECOND


def ask(number: int, item: str | None = "a", **fields: Any) -> Request:
    """A request with everything a rule does not look at filled in."""
    return Request(
        **{
            "id": number,
            "model": "gpt-5",
            "secret": "sk-one",
            "key": "key-1",
            "item": item,
            "declared": True,
            "prompt": "hello",
            "prompt_tokens": 2,
            **fields,
        }
    )


def seconds(value: float) -> Duration:
    """A duration in nanoseconds."""
    return Duration(round(value * SECOND))


def span(low: float, high: float | None = None) -> DurationRange:
    """A range of durations in seconds."""
    return DurationRange(seconds(low), seconds(low if high is None else high))


def drain(provider: Provider) -> list[Reply]:
    """Everything still due, each part at its own instant."""
    replies: list[Reply] = []
    while (due := provider.next_due()) is not None:
        parts = provider.advance(due)
        assert parts or provider.next_due() != due, "next_due named an instant at which nothing happens"
        replies += parts
    return replies


def play(provider: Provider, arrivals: Iterable[tuple[float, Request]]) -> dict[int, list[Reply]]:
    """Let requests arrive at instants in seconds and collect the replies by request."""
    replies: list[Reply] = []
    for at, request in arrivals:
        while (due := provider.next_due()) is not None and due <= seconds(at):
            replies += provider.advance(due)
        provider.arrive(request, seconds(at))
    replies += drain(provider)
    by_request: dict[int, list[Reply]] = {}
    for reply in replies:
        by_request.setdefault(reply.request_id, []).append(reply)
    return by_request


def outcomes(provider: Provider, arrivals: Iterable[tuple[float, Request]]) -> list[Outcome]:
    """The outcome of each request, by id."""
    return [parts[0].outcome for _, parts in sorted(play(provider, arrivals).items())]


def statuses(provider: Provider, arrivals: Iterable[tuple[float, Request]]) -> list[int | str]:
    """200 for an answer, the reason of a refusal."""
    return [o.reason if isinstance(o, Refusal) else 200 for o in outcomes(provider, arrivals)]


def refusal(outcome: Outcome) -> Refusal:
    """The outcome, which must be a refusal."""
    assert isinstance(outcome, Refusal)
    return outcome


def waits(outcome: Outcome) -> int:
    """The Retry-After of a refusal in nanoseconds."""
    wanted = refusal(outcome).retry_after
    assert wanted is not None
    return wanted.value


# -- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("item", "said"), [("a", "[wt:a] Mind the quota."), (None, "Mind the quota.")])
def test_answers_say_what_the_scenario_wants(item: str | None, said: str) -> None:
    """After the mark of the item, word by word; a limit on tokens cuts it."""
    provider = Provider(Scenario(answers=Answers(text="Mind the quota.")))
    whole, cut = outcomes(provider, [(0, ask(1, item)), (0, ask(2, item, max_tokens=2))])
    assert isinstance(whole, Success)
    assert isinstance(cut, Success)
    assert (whole.text, whole.content.finish, len(cut.content.pieces), cut.content.finish) == (
        said,
        "stop",
        2,
        "length",
    )
    assert marks_in(whole.text) == (("a",) if item else ())


def test_a_silent_scenario_answers_at_once() -> None:
    """Without limits, waves and latency a request is answered at its arrival, with its own mark."""
    provider = Provider(Scenario())
    ((reply,),) = play(provider, [(2, ask(1, "item-1"))]).values()
    assert reply.at == 2 * SECOND
    assert isinstance(reply.outcome, Success)
    assert marks_in(reply.outcome.text) == ("item-1",)
    assert (reply.last, reply.count, provider.in_flight, provider.peak_in_flight) == (True, 1, 0, 1)


def test_a_plain_answer_takes_as_long_as_its_tokens() -> None:
    """The whole answer is sent with its last token."""
    scenario = Scenario(latency=Latency(first_token=span(1), tokens_per_second=2))
    ((reply,),) = play(Provider(scenario), [(0, ask(1))]).values()
    assert reply.at == seconds(1 + 7 / 2)


def test_a_stream_sends_each_token_when_it_is_ready() -> None:
    """The opening comes with the first token and the closing with the last."""
    scenario = Scenario(latency=Latency(first_token=span(1), tokens_per_second=2))
    (parts,) = play(Provider(scenario), [(0, ask(1, stream=True))]).values()
    assert [part.at for part in parts] == [seconds(1), *(seconds(1 + i / 2) for i in range(8)), seconds(4.5)]
    assert [part.index for part in parts] == list(range(10))
    assert {part.count for part in parts} == {10}


def test_the_first_token_comes_within_its_range() -> None:
    """The seed decides where in the range, and different requests differ."""
    scenario = Scenario(latency=Latency(first_token=span(0.08, 0.4)))
    replies = play(Provider(scenario), [(0, ask(n, f"item-{n}")) for n in range(1, 30)])
    instants = [parts[0].at for parts in replies.values()]
    assert all(seconds(0.08) <= at <= seconds(0.4) for at in instants)
    assert len(set(instants)) == 29


def test_max_tokens_ends_an_answer_early() -> None:
    """The answer has as many tokens as allowed and says why it ends."""
    (outcome,) = outcomes(Provider(Scenario()), [(0, ask(1, max_tokens=2))])
    assert isinstance(outcome, Success)
    assert (outcome.completion_tokens, outcome.content.finish) == (2, "length")


def test_replies_come_by_instant_and_then_by_arrival() -> None:
    """Two streams at one instant do not mix: the first to arrive is first, whole."""
    provider = Provider(Scenario())
    provider.arrive(ask(2, stream=True), 0)
    provider.arrive(ask(1, stream=True), 0)
    order = [(reply.request_id, reply.index) for reply in provider.advance(0)]
    assert order == [(number, index) for number in (2, 1) for index in range(10)]


def test_an_id_may_not_be_used_twice_at_a_time() -> None:
    """A second request of the same id is a mistake of the caller, and the text says the fix."""
    provider = Provider(Scenario(latency=Latency(first_token=span(1))))
    provider.arrive(ask(1), 0)
    with pytest.raises(ValueError, match="an id of its own"):
        provider.arrive(ask(1), 0)


# -- leaving ---------------------------------------------------------------------------------------


def test_a_client_that_leaves_gets_nothing_more() -> None:
    """Its parts are dropped, it is not in flight, and nothing is due."""
    provider = Provider(Scenario(latency=Latency(tokens_per_second=1)))
    provider.arrive(ask(1, stream=True), 0)
    assert len(provider.advance(0)) == 2
    provider.leave(1, SECOND // 2)
    assert (provider.in_flight, provider.next_due(), provider.advance(MINUTE)) == (0, None, [])


def test_leaving_after_the_end_is_ignored() -> None:
    """Unknown and finished ids do no harm."""
    provider = Provider(Scenario())
    provider.arrive(ask(1), 0)
    provider.advance(0)
    provider.leave(1, 0)
    provider.leave(99, 0)
    assert provider.in_flight == 0


def test_an_id_that_left_may_come_again() -> None:
    """What was due to the first request does not reach the second."""
    provider = Provider(Scenario(latency=Latency(first_token=span(1))))
    provider.arrive(ask(1), 0)
    provider.leave(1, 0)
    provider.arrive(ask(1), SECOND // 2)
    assert [reply.at for reply in drain(provider)] == [seconds(1.5)]


# -- waves -----------------------------------------------------------------------------------------


def wave(**fields: Any) -> Wave:
    """A wave from 1 s to 3.5 s unless other keys are given."""
    return Wave(**{"at": seconds(1), "lasts": seconds(2.5), **fields})


def test_an_open_wave_refuses_and_says_when_it_ends() -> None:
    """Its start belongs to it and its end does not; Retry-After is the rest in whole seconds."""
    provider = Provider(Scenario(wave=(wave(),)))
    before, start, after = outcomes(provider, [(0.5, ask(1)), (1, ask(2)), (3.5, ask(3))])
    assert isinstance(before, Success)
    assert isinstance(after, Success)
    assert start == Refusal(
        429, "wave", "account", WireRetryAfter("seconds", 3 * SECOND), refusal(start).limits, 0
    )


def test_a_refusal_takes_its_latency() -> None:
    """Refusals are sent after `latency.refusal`, and Retry-After counts from the sending."""
    scenario = Scenario(wave=(wave(),), latency=Latency(refusal=span(0.5)))
    ((reply,),) = play(Provider(scenario), [(1, ask(1))]).values()
    assert reply.at == seconds(1.5)
    assert waits(reply.outcome) == 2 * SECOND


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        (RetryAfter(), 3 * SECOND),
        (RetryAfter(value=seconds(0.4)), seconds(0.4)),
        (RetryAfter(form="ms"), seconds(2.49)),
        (RetryAfter(form="ms", value=seconds(0.0005)), seconds(0.0005)),
        (RetryAfter(form="body", value=seconds(1.798)), seconds(1.798)),
        (RetryAfter(form="http-date", value=seconds(2)), seconds(3) - REFUSAL),
        (RetryAfter(form="http-date"), seconds(4 - 1.01)),
        (RetryAfter(form="none"), None),
    ],
)
def test_retry_after_is_what_the_wire_can_express(wanted: RetryAfter, value: int | None) -> None:
    """Computed values are rounded up to what the form can hold; written ones are exact; a date is whole."""
    (outcome,) = outcomes(Provider(Scenario(wave=(wave(retry_after=wanted),))), [(1, ask(1))])
    stated = refusal(outcome).retry_after
    assert stated == (None if value is None else WireRetryAfter(wanted.form, value))


def test_an_overload_states_no_retry_after() -> None:
    """Only a 429 tells by default when to come back."""
    (outcome,) = outcomes(Provider(Scenario(wave=(wave(status=529),))), [(1, ask(1))])
    assert (refusal(outcome).status, refusal(outcome).retry_after) == (529, None)


def test_a_wave_that_ends_before_its_refusal_is_sent_asks_for_the_shortest_wait() -> None:
    """There is no Retry-After of nothing or less."""
    scenario = Scenario(wave=(wave(),), latency=Latency(refusal=span(5)))
    (outcome,) = outcomes(Provider(scenario), [(3, ask(1))])
    assert waits(outcome) == SECOND


@pytest.mark.parametrize(
    ("match", "met"),
    [
        (Match(model="gpt-*"), True),
        (Match(model="GPT-*"), False),
        (Match(key="sk-one"), True),
        (Match(key="key-1"), False),
        (Match(item="item-[0-4]"), True),
        (Match(model="gpt-*", item="item-9"), False),
    ],
)
def test_a_wave_meets_what_all_its_patterns_fit(match: Match, met: bool) -> None:
    """Patterns tell upper from lower case and look at the key as it was sent."""
    (outcome,) = outcomes(Provider(Scenario(wave=(wave(match=match),))), [(1, ask(1, "item-3"))])
    assert isinstance(outcome, Refusal) == met


def test_a_request_without_item_fits_only_the_pattern_for_everything() -> None:
    """A pattern such as `?*` means an item, and there is none."""
    scenario = Scenario(wave=(wave(match=Match(item="?*")), wave(match=Match(item="**"))))
    (outcome,) = outcomes(Provider(scenario), [(1, ask(1, None))])
    assert isinstance(outcome, Success)


@pytest.mark.parametrize(
    ("fields", "scope"),
    [
        ({}, "account"),
        ({"match": Match(model="gpt-*")}, "model:gpt-5"),
        ({"match": Match(key="sk-*")}, "key:key-1"),
        ({"match": Match(item="a")}, "item:a"),
        ({"scope": "key"}, "key:key-1"),
    ],
)
def test_a_refusal_speaks_for_the_scope_of_its_wave(fields: dict[str, Any], scope: str) -> None:
    """The scope is named with the value of the request; a key by its label."""
    (outcome,) = outcomes(Provider(Scenario(wave=(wave(**fields),))), [(1, ask(1))])
    assert refusal(outcome).scope == scope


def test_the_first_matching_wave_in_the_file_wins() -> None:
    """Of two open waves the one written first refuses."""
    scenario = Scenario(wave=(wave(match=Match(item="b")), wave(status=503), wave(status=529)))
    (outcome,) = outcomes(Provider(scenario), [(1, ask(1))])
    assert (refusal(outcome).status, refusal(outcome).wave) == (503, 1)


def test_a_share_refuses_its_part_and_each_attempt_is_picked_again() -> None:
    """About as many are refused as written, and a refused item may pass at its next attempt."""
    scenario = Scenario(wave=(wave(share=0.3),))
    first = statuses(Provider(scenario), [(1, ask(n, f"item-{n}")) for n in range(1, 1001)])
    assert 250 < first.count("wave") < 350
    again = statuses(Provider(scenario), [(1, ask(n, "item-1")) for n in range(1, 50)])
    assert {200, "wave"} == set(again)


def test_one_request_more_does_not_shift_the_fate_of_others() -> None:
    """Picks are keyed by item and attempt, so a stranger in between changes nothing."""
    scenario = Scenario(wave=(wave(share=0.5),), latency=Latency(first_token=span(0, 1)))
    alone = play(Provider(scenario), [(1, ask(n, f"item-{n}")) for n in range(1, 40)])
    crowd = [(1.0, ask(100, "stranger")), *((1.0, ask(n, f"item-{n}")) for n in range(1, 40))]
    among = play(Provider(scenario), crowd)
    del among[100]
    assert among == alone


def test_the_seed_decides_the_picks() -> None:
    """Two seeds give two fates, one seed the same fate again."""
    scenario = Scenario(wave=(wave(share=0.5),))
    arrivals = [(1.0, ask(n, f"item-{n}")) for n in range(1, 40)]
    fates = [tuple(statuses(Provider(scenario, seed=seed), arrivals)) for seed in (1, 2, 1)]
    assert fates[0] == fates[2] != fates[1]


def test_waves_are_noticed_at_their_exact_instants() -> None:
    """Openings and closings come in time order, also when the provider was not asked for long."""
    repeated = Wave(at=seconds(1), lasts=seconds(1), every=seconds(2), times=2)
    provider = Provider(Scenario(wave=(repeated, wave())))
    assert (provider.next_notice(), provider.notices(SECOND - 1)) == (SECOND, [])
    wanted = [(notice.kind, notice.at / SECOND, notice.wave) for notice in waves_and_held(provider, MINUTE)]
    assert wanted == [
        ("wave-opened", 1, 0),
        ("wave-opened", 1, 1),
        ("wave-closed", 2, 0),
        ("wave-opened", 3, 0),
        ("wave-closed", 3.5, 1),
        ("wave-closed", 4, 0),
    ]
    assert (provider.next_notice(), provider.notices(2 * MINUTE)) == (None, [])


def test_a_wave_without_gaps_closes_before_it_opens_again() -> None:
    """At one instant the end of the old occurrence comes first, and it goes on for ever."""
    provider = Provider(Scenario(wave=(Wave(lasts=seconds(1), every=seconds(1)),)))
    kinds = [notice.kind for notice in waves_and_held(provider, seconds(2))]
    assert kinds == ["wave-opened", "wave-closed", "wave-opened", "wave-closed", "wave-opened"]
    assert provider.next_notice() == 3 * SECOND


# -- limits ----------------------------------------------------------------------------------------


def test_the_budget_for_requests_runs_out_and_refills() -> None:
    """With 60 a minute and a burst of 2 s, two pass at once and one more every second."""
    scenario = Scenario(limits=Limits(requests_per_minute=60, burst=seconds(2)))
    arrivals = [(0.0, ask(1)), (0.0, ask(2)), (0.0, ask(3)), (0.999, ask(4)), (1.0, ask(5)), (1.0, ask(6))]
    assert statuses(Provider(scenario), arrivals) == [200, 200, "requests", "requests", 200, "requests"]


def test_a_limit_says_when_the_request_would_pass() -> None:
    """Whole seconds, rounded up; waiting that long is enough."""
    scenario = Scenario(limits=Limits(requests_per_minute=6))
    provider = Provider(scenario)
    _, refused, passed = outcomes(provider, [(0, ask(1)), (0.5, ask(2)), (10.51, ask(3))])
    assert waits(refused) == 10 * SECOND
    assert refusal(refused).scope == "account"
    assert isinstance(passed, Success)


def test_a_refusal_spends_nothing() -> None:
    """A request refused for its tokens leaves the budget for requests as it was."""
    scenario = Scenario(limits=Limits(requests_per_minute=60, tokens_per_minute=600, burst=seconds(2)))
    dear = [ask(n, prompt_tokens=10, max_tokens=10) for n in (1, 2)]
    cheap = ask(3, prompt_tokens=1, max_tokens=1)
    arrivals = [(0.0, dear[0]), (0.0, dear[1]), (0.2, cheap)]
    assert statuses(Provider(scenario), arrivals) == [200, "tokens", 200]


def test_a_request_dearer_than_the_burst_needs_a_full_bucket() -> None:
    """It passes when the bucket is full, and the next one waits until the debt is paid."""
    scenario = Scenario(limits=Limits(tokens_per_minute=600, burst=seconds(1)))
    dear = [ask(n, prompt_tokens=142, max_tokens=8) for n in (1, 2, 3)]
    first, second, third = outcomes(Provider(scenario), [(0, dear[0]), (0, dear[1]), (15.01, dear[2])])
    assert isinstance(first, Success)
    assert waits(second) == 15 * SECOND
    assert isinstance(third, Success)


def test_a_request_dearer_than_the_minute_never_passes() -> None:
    """It is refused without a Retry-After, opens no penalty, and spends nothing."""
    scenario = Scenario(limits=Limits(tokens_per_minute=600, penalty=seconds(5)))
    large, small = outcomes(Provider(scenario), [(0, ask(1, max_tokens=599)), (0, ask(2, max_tokens=1))])
    assert (refusal(large).reason, refusal(large).retry_after) == ("tokens", None)
    assert isinstance(small, Success)


def test_the_longer_wait_names_the_limit() -> None:
    """A request that runs into both budgets hears of the one that keeps it longer."""
    scenario = Scenario(limits=Limits(requests_per_minute=60, tokens_per_minute=60))
    costly = [ask(n, prompt_tokens=22, max_tokens=8) for n in (1, 2)]
    _, refused = outcomes(Provider(scenario), [(0, costly[0]), (0, costly[1])])
    assert (refusal(refused).reason, waits(refused)) == ("tokens", 30 * SECOND)


def test_the_cap_counts_what_is_in_flight() -> None:
    """One over the cap is refused; when one has finished, the next may come."""
    scenario = Scenario(limits=Limits(concurrent=2), latency=Latency(first_token=span(1)))
    arrivals = [(0.0, ask(1)), (0.0, ask(2)), (0.5, ask(3)), (1.0, ask(4))]
    provider = Provider(scenario)
    assert statuses(provider, arrivals) == [200, 200, "concurrent", 200]
    assert provider.peak_in_flight == 3


def test_a_client_that_leaves_frees_its_place() -> None:
    """Hanging up lowers what is in flight."""
    provider = Provider(Scenario(limits=Limits(concurrent=1), latency=Latency(first_token=span(1))))
    provider.arrive(ask(1), 0)
    provider.leave(1, 1)
    provider.arrive(ask(2), 2)
    assert isinstance(drain(provider)[0].outcome, Success)


def test_going_over_a_limit_opens_the_penalty() -> None:
    """For its length everything of the scope is refused, and Retry-After covers it; it is not extended."""
    scenario = Scenario(limits=Limits(requests_per_minute=600, burst=Duration(0), penalty=seconds(2)))
    arrivals = [(0, ask(1)), (0, ask(2)), (1.2, ask(3)), (2.0, ask(4))]
    served, over, rest, after = outcomes(Provider(scenario), arrivals)
    assert isinstance(served, Success)
    assert (refusal(over).reason, waits(over)) == ("requests", 2 * SECOND)
    assert (refusal(rest).reason, waits(rest)) == ("penalty", SECOND)
    assert isinstance(after, Success)


def test_the_cap_opens_the_penalty_too() -> None:
    """Too many at a time is going over a limit."""
    scenario = Scenario(limits=Limits(concurrent=1, penalty=seconds(3)), latency=Latency(first_token=span(1)))
    arrivals = [(0, ask(1)), (0.5, ask(2)), (3.4, ask(3)), (3.6, ask(4))]
    found = outcomes(Provider(scenario), arrivals)
    assert [o.reason for o in found if isinstance(o, Refusal)] == ["concurrent", "penalty"]
    assert waits(found[1]) == 3 * SECOND


@pytest.mark.parametrize("scope", ["account", "key", "model", "item"])
def test_each_scope_value_has_a_budget_of_its_own(scope: Any) -> None:
    """Another key, model or item has its own bucket; the account has one for all."""
    other = {"secret": "sk-two", "key": "key-2", "model": "claude", "item": "b"}
    changed: dict[str, Any] = {name: value for name, value in other.items() if name.startswith(scope)}
    provider = Provider(Scenario(limits=Limits(requests_per_minute=1, scope=scope)))
    found = statuses(provider, [(0, ask(1)), (0, ask(2)), (0, ask(3, **changed))])
    assert found == [200, "requests", "requests" if scope == "account" else 200]


def test_every_outcome_states_the_state_of_the_limits() -> None:
    """Limit, whole units left, and nanoseconds until the bucket is full."""
    limits = Limits(requests_per_minute=60, tokens_per_minute=600, burst=seconds(3))
    answer, _ = outcomes(Provider(Scenario(limits=limits)), [(0, ask(1, max_tokens=8)), (0, ask(2))])
    assert answer.limits.requests is not None
    assert answer.limits.tokens is not None
    requests, tokens = answer.limits.requests, answer.limits.tokens
    assert (requests.limit, requests.remaining, requests.reset) == (60, 2, SECOND)
    assert (tokens.limit, tokens.remaining, tokens.reset) == (600, 20, SECOND)


def test_a_debt_is_shown_as_nothing_left() -> None:
    """The state never shows less than nothing."""
    limits = Limits(tokens_per_minute=600, burst=seconds(1))
    (answer,) = outcomes(Provider(Scenario(limits=limits)), [(0, ask(1, max_tokens=98))])
    assert answer.limits.tokens is not None
    assert (answer.limits.tokens.remaining, answer.limits.tokens.reset) == (0, 10 * SECOND)


def test_a_wave_comes_before_the_limits_and_spends_nothing() -> None:
    """What a wave refuses never reaches the buckets."""
    scenario = Scenario(wave=(wave(),), limits=Limits(requests_per_minute=1))
    assert statuses(Provider(scenario), [(1, ask(1)), (1, ask(2)), (4, ask(3))]) == ["wave", "wave", 200]


# -- barriers --------------------------------------------------------------------------------------


def barrier(size: int = 3, **fields: Any) -> Scenario:
    """A scenario with one barrier."""
    return Scenario(wave=(Wave(when_in_flight=size, **fields),))


def test_a_full_barrier_refuses_all_in_one_instant() -> None:
    """No client gets an answer before; then all get the same one at the same time, one second by default."""
    scenario = barrier()
    replies = play(Provider(scenario), [(n / 10, ask(n, f"item-{n}")) for n in (1, 2, 3)])
    assert {parts[0].at for parts in replies.values()} == {seconds(0.3) + REFUSAL}
    found = [parts[0].outcome for parts in replies.values()]
    assert {(refusal(o).reason, waits(o), refusal(o).wave) for o in found} == {("barrier", SECOND, 0)}


def test_a_sequential_client_passes_a_barrier() -> None:
    """After `patience` the request is served from that moment, and the barrier is not used up."""
    provider = Provider(barrier(2))
    arrivals = [(0, ask(1)), (5, ask(2)), (9, ask(3)), (9.5, ask(4))]
    replies = play(provider, arrivals)
    assert [parts[0].at / SECOND for parts in replies.values()] == [1, 6, 9.51, 9.51]
    assert [isinstance(parts[0].outcome, Success) for parts in replies.values()] == [True, True, False, False]


def test_patience_counts_from_the_first_still_held() -> None:
    """Those who came later go with the first; if the first hangs up, the next one is the first."""
    provider = Provider(barrier(9))
    for number, at in ((1, 0.0), (2, 0.4), (3, 0.6)):
        provider.arrive(ask(number), seconds(at))
    assert provider.next_due() == SECOND
    provider.leave(1, seconds(0.7))
    assert provider.next_due() == seconds(1.4)
    assert [(reply.request_id, reply.at) for reply in drain(provider)] == [
        (2, seconds(1.4)),
        (3, seconds(1.4)),
    ]


def test_a_request_that_leaves_does_not_fill_a_barrier() -> None:
    """Held are those who are still there."""
    provider = Provider(barrier(2))
    provider.arrive(ask(1), 0)
    provider.leave(1, 1)
    provider.arrive(ask(2), 2)
    assert provider.holding == 1


def test_an_arrival_finds_patience_already_over() -> None:
    """A caller that was not on time cannot fill a barrier whose `patience` has ended."""
    provider = Provider(barrier(2))
    provider.arrive(ask(1), 0)
    provider.arrive(ask(2), SECOND)
    assert [(reply.request_id, reply.at) for reply in provider.advance(SECOND)] == [(1, SECOND)]


def test_a_barrier_fires_its_times_and_no_more() -> None:
    """After that everybody passes at once."""
    found = statuses(Provider(barrier(2, times=2)), [(0, ask(n)) for n in range(1, 7)])
    assert found == ["barrier"] * 4 + [200] * 2


def test_a_barrier_holds_only_what_it_means() -> None:
    """Requests of another item are served past it."""
    provider = Provider(barrier(2, match=Match(item="a*")))
    provider.arrive(ask(1, "b"), 0)
    provider.arrive(ask(2, "a1"), 0)
    assert [reply.request_id for reply in provider.advance(0)] == [1]
    assert (provider.holding, provider.in_flight) == (1, 1)


def test_a_barrier_of_one_refuses_at_once() -> None:
    """It needs no other request."""
    assert statuses(Provider(barrier(1)), [(0, ask(1)), (0, ask(2))]) == ["barrier", 200]


def test_each_held_request_is_noticed() -> None:
    """Also the one that fills the barrier; a barrier neither opens nor closes."""
    provider = Provider(barrier(2))
    assert provider.next_notice() is None
    provider.arrive(ask(7), 5)
    assert provider.next_notice() == 5
    provider.arrive(ask(8), 6)
    notices = waves_and_held(provider, 6)
    assert [(n.kind, n.at, n.wave, n.request_id) for n in notices] == [("held", 5, 0, 7), ("held", 6, 0, 8)]


def test_the_limits_are_spent_before_a_barrier_holds() -> None:
    """What the limits refuse is not held."""
    scenario = Scenario(wave=(Wave(when_in_flight=2),), limits=Limits(requests_per_minute=1))
    provider = Provider(scenario)
    provider.arrive(ask(1), 0)
    provider.arrive(ask(2), 0)
    assert provider.holding == 1
    assert [reply.request_id for reply in drain(provider)] == [2, 1]


def test_settling_releases_when_nothing_else_can_happen() -> None:
    """Then a longer wait would only cost time: the held requests are served at once."""
    provider = Provider(barrier(5))
    provider.arrive(ask(1), 0)
    provider.arrive(ask(2), 0)
    assert provider.settle(seconds(0.25), None)
    assert [reply.at for reply in drain(provider)] == [seconds(0.25)] * 2
    assert not provider.settle(seconds(0.25), None)


@pytest.mark.parametrize(("next_event", "released"), [(0.9, False), (1.0, True), (1.1, True)])
def test_settling_waits_for_what_may_still_fill_the_barrier(next_event: float, released: bool) -> None:
    """An event before `patience` ends may bring the missing request."""
    provider = Provider(barrier(5))
    provider.arrive(ask(1), 0)
    assert provider.settle(0, seconds(next_event)) == released


@pytest.mark.parametrize(("latency", "released"), [(0.9, False), (1.0, True)])
def test_settling_waits_for_the_providers_own_replies(latency: float, released: bool) -> None:
    """A reply on its way may make its client send the missing request."""
    scenario = Scenario(
        wave=(Wave(when_in_flight=5, match=Match(item="held")),), latency=Latency(first_token=span(latency))
    )
    provider = Provider(scenario)
    provider.arrive(ask(1, "held"), 0)
    provider.arrive(ask(2, "free"), 0)
    assert provider.settle(0, None) == released


def test_settling_lets_the_most_impatient_go_first() -> None:
    """Its replies may fill the next barrier, so that one goes on holding."""
    waves = (
        Wave(when_in_flight=5, match=Match(item="slow"), patience=seconds(2)),
        Wave(when_in_flight=5, match=Match(item="quick"), patience=seconds(1)),
    )
    provider = Provider(Scenario(wave=waves))
    provider.arrive(ask(1, "slow"), 0)
    provider.arrive(ask(2, "quick"), 0)
    assert provider.settle(0, None)
    assert ([reply.request_id for reply in provider.advance(0)], provider.holding) == ([2], 1)


# -- faults ----------------------------------------------------------------------------------------


def test_a_fault_hits_its_times_from_its_instant_on() -> None:
    """Before it and after its times, answers are whole."""
    fault = Fault(kind="reset", at=seconds(1), times=2)
    found = outcomes(Provider(Scenario(fault=(fault,))), [(n / 2, ask(n)) for n in range(1, 6)])
    assert [isinstance(o, Success) and o.fault is not None for o in found] == [
        False,
        True,
        True,
        False,
        False,
    ]


def test_a_fault_spares_refusals_and_other_items() -> None:
    """It waits for the first matching answer."""
    scenario = Scenario(wave=(wave(),), fault=(Fault(kind="reset", match=Match(item="a")),))
    found = outcomes(Provider(scenario), [(0, ask(1, "b")), (1, ask(2)), (9, ask(3)), (9, ask(4))])
    assert [isinstance(o, Success) and o.fault is not None for o in found] == [False, False, True, False]


def test_a_share_of_answers_is_hit() -> None:
    """The seed picks about as many as written."""
    scenario = Scenario(fault=(Fault(kind="reset", share=0.5, times=1000),))
    found = outcomes(Provider(scenario), [(0, ask(n, f"item-{n}")) for n in range(1, 401)])
    assert 150 < sum(isinstance(o, Success) and o.fault is not None for o in found) < 250


@pytest.mark.parametrize(("after", "late"), [(0, 9), (3, 6), (99, 1)])
def test_a_stall_delays_what_comes_after_its_chunks(after: int, late: int) -> None:
    """The opening and that many chunks come on time; at least the closing is late."""
    fault = Fault(kind="stall", after_chunks=after, lasts=seconds(60))
    (parts,) = play(Provider(Scenario(fault=(fault,))), [(0, ask(1, stream=True))]).values()
    assert [part.at for part in parts] == [0] * (10 - late) + [60 * SECOND] * late


def test_a_stalled_plain_answer_is_late_as_a_whole() -> None:
    """It has only one part."""
    fault = Fault(kind="stall", lasts=seconds(60))
    ((reply,),) = play(Provider(Scenario(fault=(fault,))), [(0, ask(1))]).values()
    assert reply.at == 60 * SECOND


def test_a_trickle_spreads_an_answer_over_its_length() -> None:
    """Gaps are even and the last part comes at the end."""
    fault = Fault(kind="slow-trickle", lasts=seconds(10))
    (parts,) = play(Provider(Scenario(fault=(fault,))), [(0, ask(1, stream=True))]).values()
    assert [part.at / SECOND for part in parts] == list(range(1, 11))


# -- many ------------------------------------------------------------------------------------------


def test_many_requests_leave_nothing_behind() -> None:
    """After thousands of requests only the count of attempts for each item remains."""
    scenario = Scenario(limits=Limits(requests_per_minute=10**6, scope="item"), wave=(wave(share=0.5),))
    provider = Provider(scenario)
    for number in range(4_000):
        now = number * MILLISECOND
        provider.arrive(ask(number, f"item-{number}", stream=number % 2 == 0), now)
        provider.advance(now)
    drain(provider)
    assert (len(provider._open), len(provider._due), provider.in_flight) == (0, 0, 0)
    (table,) = provider._limiter._tables
    assert (len(table._budgets) <= 1024, len(table._in_flight)) == (True, 0)


def test_a_provider_shows_its_state() -> None:
    """The repr names the scenario and what is under way, and no address."""
    provider = Provider(barrier(3))
    provider.arrive(ask(1), 0)
    assert repr(provider) == "<Provider scenario [1 in flight, 1 held]>"
