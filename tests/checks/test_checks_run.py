"""The checks on a run, `liveness`, `retry_after` and `exercised`, and how checks are chosen."""

from __future__ import annotations

from typing import Any

import pytest

from wavetank.checks import (
    CHECKS,
    DEFAULT,
    STRICT,
    UnknownCheck,
    exercised,
    judge,
    liveness,
    named,
    outcomes,
    retry_after,
)
from wavetank.checks.causes import causes
from wavetank.checks.history import history
from wavetank.checks.liveness import kind_of_hang
from wavetank.checks.verdict import Verdict
from wavetank.clock import MILLISECOND, SECOND
from wavetank.events import Event, RunEnd, Unseen

from .event_logs import happened, log_of


def ended(how: Any, at: float = 100, steps: int = 50, **fields: Any) -> RunEnd:
    return RunEnd(how=how, at=round(at * SECOND), steps=steps, **fields)


# -- liveness --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["returned", "raised"])
def test_a_run_whose_main_came_to_its_end_is_alive(how: str) -> None:
    """Returning and raising both end a run."""
    verdict = liveness.judge(log_of(end=ended(how, 1.5)))
    assert verdict.passed is True
    assert verdict.summary == "main came to its end at 1.5s"
    assert kind_of_hang(log_of(end=ended(how))) is None


def test_a_run_that_continues_is_not_judged() -> None:
    """Whether a program comes to its end is not known before."""
    assert liveness.judge(log_of()).passed is None
    assert kind_of_hang(log_of()) is None


@pytest.mark.parametrize("passable", [True, False])
def test_a_deadlock_fails_whatever_the_scenario(passable: bool) -> None:
    """The verdict has the open items and the blocked tasks."""
    log = log_of(
        happened("submitted", 0),
        happened("submitted", 0, "b"),
        happened("failed", 2, "b"),
        end=ended("deadlock", 3, blocked=("  task 'main'\n    waits in Event.wait",)),
        passable=passable,
    )
    verdict = liveness.judge(log)
    assert verdict.passed is False
    assert verdict.summary == "deadlock at 3s"
    assert verdict.evidence == (
        "1 item(s) without an outcome: 'a'",
        "  task 'main'\n    waits in Event.wait",
    )
    assert kind_of_hang(log) == "deadlock"


def test_a_long_sleep_is_an_overrun_and_a_poll_a_livelock() -> None:
    """Without an outcome, what tells the two apart is whether requests or steps flowed to the end."""
    slept = log_of(happened("submitted", 0), end=ended("time"))
    assert kind_of_hang(slept) == "overrun"
    polled = log_of(happened("submitted", 0), end=RunEnd(how="time", at=slept.end.at, late_steps=5000))  # type: ignore[union-attr]
    assert kind_of_hang(polled) == "livelock"


def test_a_budget_that_ended_while_outcomes_came_is_an_overrun() -> None:
    """An outcome in the second half of the run means that it was only slow."""
    log = log_of(
        happened("submitted", 0), happened("submitted", 0, "b"), happened("completed", 51), end=ended("time")
    )
    verdict = liveness.judge(log)
    assert verdict.passed is False
    assert verdict.summary == (
        "overrun: the budget of virtual time ended after 50 steps, at 1m40s, before main did; 1 of 2 items "
        "had an outcome. More virtual time: max_virtual_seconds, in pytest --llm-max-virtual-seconds"
    )
    assert verdict.evidence == (
        "1 item(s) without an outcome: 'b'",
        "0 request(s) in the second half of the run",
    )
    assert kind_of_hang(log) == "overrun"


def test_a_budget_that_ended_without_outcomes_is_a_livelock() -> None:
    """Requests that flow through the second half of a run and complete nothing get nowhere."""
    log = log_of(
        happened("submitted", 0),
        happened("submitted", 0, "b"),
        happened("completed", 50, "b"),
        [happened("arrived", at, request=at) for at in range(1, 100)],
        end=ended("time"),
    )
    verdict = liveness.judge(log)
    assert verdict.passed is False
    assert verdict.summary.startswith("livelock: the budget of virtual time ended after 50 steps, at 1m40s")
    assert verdict.evidence == (
        "item 'a' got no answer and asked again, every 1s, 99 times",
        "1 item(s) without an outcome: 'a'",
        "49 request(s) in the second half of the run",
    )
    assert kind_of_hang(log) == "livelock"


def test_a_first_answer_is_progress_though_it_is_reported_later() -> None:
    """The items that wait for their report are counted; a second answer of an item is none."""
    submitted = [happened("submitted", 0, item) for item in "abc"]
    asked = [happened("arrived", at, "a", request=at) for at in range(1, 100)]
    answered = [happened("delivered", 10, "a", request=10, status=200)]
    late = [happened("delivered", 60, "b", request=60, status=200)]
    repeated = [happened("delivered", 60, "a", request=60, status=200)]
    log = log_of(submitted, asked, answered, late, end=ended("time"))
    assert kind_of_hang(log) == "overrun"
    assert liveness.judge(log).evidence[0] == (
        "3 item(s) without an outcome: 'a', 'b', 'c'; "
        "2 of these were answered, and not reported to the ledger"
    )
    log = log_of(submitted, asked, answered, repeated, end=ended("time"))
    assert kind_of_hang(log) == "livelock"
    assert "its second half brought no outcome and no item its first answer" in liveness.judge(log).summary


def test_a_spent_step_budget_is_a_livelock_also_when_time_stands_still() -> None:
    """Steps are counted from the last outcome, so when they are spent there was none; all requests count."""
    log = log_of(
        happened("submitted", 0),
        [happened("arrived", 0, request=number) for number in range(1, 8)],
        end=ended("steps", at=0, steps=500_000),
    )
    verdict = liveness.judge(log)
    assert verdict.passed is False
    assert verdict.summary == (
        "livelock: the budget of steps ended after 500000 steps, at 0s, and they brought no outcome"
    )
    assert verdict.evidence == (
        "item 'a' got no answer and asked again, every 0s, 7 times",
        "1 item(s) without an outcome: 'a'",
        "7 request(s) in the whole run",
    )
    assert kind_of_hang(log) == "livelock"


@pytest.mark.parametrize("how", ["time", "steps"])
def test_a_scenario_that_lets_nothing_through_is_not_judged(how: str) -> None:
    """No client can finish under such a scenario, so none is blamed."""
    log = log_of(happened("submitted", 0), end=ended(how), passable=False)
    verdict = liveness.judge(log)
    assert verdict.passed is None
    assert verdict.summary == "the scenario never lets a request through"
    assert kind_of_hang(log) is None


def test_a_long_list_of_open_items_is_cut() -> None:
    """Ten items are named, and the number of all is stated."""
    log = log_of([happened("submitted", 0, f"i{number}") for number in range(12)], end=ended("deadlock", 1))
    (line,) = liveness.judge(log).evidence
    assert line.startswith("12 item(s) without an outcome: 'i0', 'i1'")
    assert line.endswith("'i9', …")


# -- retry_after -----------------------------------------------------------------------------------


def refused(
    request: int,
    at: float,
    *,
    wait: float | None = 2.0,
    scope: str = "account",
    reached: float | None = None,
    **asked: Any,
) -> list[Event]:
    """A request sent at `at` and refused 10 ms later, which reaches the client then or at `reached`."""
    arrived = asking(request, at, **asked)
    retry_after = None if wait is None else round(wait * SECOND)
    item = arrived.item or ""
    record = happened(
        "refused", at + 0.01, item, request=request, status=429, scope=scope, retry_after=retry_after, wave=0
    )
    return [
        arrived,
        record,
        happened("delivered", at + 0.01 if reached is None else reached, item, request=request, status=429),
    ]


def asking(
    request: int,
    at: float,
    *,
    item: str = "a",
    declared: bool = True,
    sent: float | None = None,
    model: str = "m",
    key: str = "key-1",
) -> Event:
    return happened(
        "arrived",
        at,
        item,
        request=request,
        declared=declared,
        sent=round((at if sent is None else sent) * SECOND),
        model=model,
        key=key,
    )


def judged(*events: Event | list[Event], ledger: tuple[str, ...] = ("a",)) -> Verdict:
    entered = [happened("submitted", 0, item) for item in ledger]
    return retry_after.judge(log_of(entered, *events, end=ended("returned")))


def test_asking_again_after_the_retry_after_passes() -> None:
    """On time, late, and up to a millisecond early are all right."""
    for at in (2.01, 5.0, 2.01 - 0.001):
        verdict = judged(refused(1, 0), asking(2, at))
        assert verdict.passed is True
        assert verdict.summary == "1 repeat(s), none before its Retry-After"


def test_asking_again_too_early_fails() -> None:
    """Counted from when the refusal was sent; the text has item, request and both times."""
    verdict = judged(refused(1, 0), asking(2, 0.51))
    assert verdict.passed is False
    assert verdict.summary == (
        "item 'a' asked again 1.5s too early: request 1 was refused at 10ms with Retry-After 2s"
    )
    assert verdict.evidence == (
        "at 0s: submitted",
        "at 0s: request 1 arrived at the provider (m)",
        "at 10ms: request 1 was refused with 429, retry after 2s",
        "at 10ms: the refusal of request 1 reached the client",
        "at 510ms: request 2 arrived at the provider (m)",
    )


def test_more_than_a_millisecond_early_fails() -> None:
    """The tolerance is 1 ms and no more."""
    assert judged(refused(1, 0), asking(2, 2.01 - 0.0011)).passed is False


def test_a_repeat_counts_from_when_it_was_sent() -> None:
    """A request that set out too early is early, however long it waited for a connection."""
    assert judged(refused(1, 0), asking(2, 3.0, sent=1.0)).passed is False


def test_a_refusal_that_never_reached_the_client_binds_no_request() -> None:
    """A client that hung up before the refusal came cannot know of it."""
    arrived, record, _ = refused(1, 0)
    left = happened("left", 0.005, request=1)
    assert judged([arrived, record, left], asking(2, 0.5)).passed is None


def test_a_request_under_way_when_the_refusal_came_is_no_repeat() -> None:
    """A second request that was sent before the first was refused did not ask again."""
    late = asking(2, 0.02, sent=0.005)
    assert judged(refused(1, 0), late).passed is None
    assert judged(refused(1, 0), late, asking(3, 0.03)).passed is False


def test_a_client_that_asks_again_at_once_is_too_early() -> None:
    """In the instant in which the refusal reached it, it knew of it."""
    assert judged(refused(1, 0), asking(2, 0.01)).passed is False


@pytest.mark.parametrize(
    ("scope", "repeat", "bound"),
    [
        ("account", {"model": "other", "key": "key-2"}, True),
        ("model:m", {}, True),
        ("model:m", {"key": "key-2"}, True),
        ("model:m", {"model": "other"}, False),
        ("key:key-1", {}, True),
        ("key:key-1", {"key": "key-2"}, False),
        ("item:a", {"model": "other", "key": "key-2"}, True),
    ],
)
def test_a_refusal_binds_within_its_scope(scope: str, repeat: dict[str, Any], bound: bool) -> None:
    """Another key or another model may be asked at once when the refusal spoke for one."""
    verdict = judged(refused(1, 0, scope=scope), asking(2, 0.5, **repeat))
    assert verdict.passed is (False if bound else None)


def test_an_item_name_with_a_colon_keeps_its_scope() -> None:
    """A scope is cut at its first colon only."""
    verdict = judged(refused(1, 0, scope="item:a:b", item="a:b"), asking(2, 1, item="a:b"), ledger=("a:b",))
    assert verdict.passed is False


def test_the_refusal_of_one_item_does_not_bind_another() -> None:
    """The check is about the wait of each item."""
    assert judged(refused(1, 0), asking(2, 0.5, item="b"), ledger=("a", "b")).passed is None


def test_the_last_refusal_of_a_scope_counts() -> None:
    """A later, shorter Retry-After frees the item; a later one without any does, too."""
    hedged = [refused(1, 0, wait=60), refused(2, 0.005, wait=1)]
    assert judged(*hedged, asking(3, 2)).passed is True
    assert judged(*hedged, asking(3, 0.9)).passed is False
    assert judged(refused(1, 0, wait=60), refused(2, 0.005, wait=None), asking(3, 2)).passed is None


def test_each_scope_keeps_its_own_last_refusal() -> None:
    """A model that has been tried in between does not free the one that was refused before."""
    events: list[Event | list[Event]] = [
        refused(1, 0, scope="model:m", wait=60),
        refused(2, 1, scope="model:other", wait=1, model="other"),
    ]
    assert judged(*events, asking(3, 3, model="other")).passed is True
    assert judged(*events, asking(3, 3)).passed is False


def test_a_refusal_without_a_retry_after_binds_no_request() -> None:
    """Where the provider says nothing, any wait is right."""
    assert judged(refused(1, 0, wait=None), asking(2, 0.02)).passed is None


def test_inferred_items_are_never_judged() -> None:
    """Two rows may hold the same text; one need not wait for the other."""
    assert judged(refused(1, 0, declared=False), asking(2, 0.5, declared=False)).passed is None


def test_items_outside_the_ledger_are_never_judged() -> None:
    """A probe may knock as often as it likes."""
    assert judged(refused(1, 0), asking(2, 0.5), ledger=("another",)).passed is None


def test_without_a_ledger_every_declared_item_is_judged() -> None:
    """A test that keeps no ledger has no probes to tell from items."""
    assert judged(refused(1, 0), asking(2, 0.5), ledger=()).passed is False
    assert judged(refused(1, 0, item="probe"), asking(2, 0.5, item="probe")).passed is None


def test_an_item_of_the_ledger_is_judged_from_its_first_request() -> None:
    """It does not matter when in the run the item was entered."""
    log = log_of(refused(1, 0), asking(2, 0.5), happened("completed", 3), end=ended("returned"))
    assert retry_after.judge(log).passed is False


def test_a_request_that_could_not_be_read_binds_no_request() -> None:
    """A 400 speaks for no scope."""
    arrived = asking(1, 0)
    turned_away = happened("refused", 0, request=1, status=400, reason="bad-request", retry_after=SECOND)
    reached = happened("delivered", 0, request=1, status=400)
    assert judged([arrived, turned_away, reached], asking(2, 0.1)).passed is None


# -- exercised -------------------------------------------------------------------------------------


def test_a_scenario_without_waves_and_faults_is_not_judged() -> None:
    """Where nothing is scripted nothing can be missed."""
    assert exercised.judge(log_of(end=ended("returned"))).passed is None


def test_waves_and_faults_that_met_no_request_are_named() -> None:
    """Numbers count from 1, in file order."""
    log = log_of(
        happened("refused", 1, request=1, wave=1),
        happened("answered", 2, request=2, fault=0),
        waves=2,
        faults=2,
    )
    verdict = exercised.judge(log)
    assert verdict.passed is False
    assert verdict.summary == "wave 1 met no request, fault 2 met no request"
    assert verdict.evidence == ("wave 1 did not open", "0 request(s) arrived")


def test_a_wave_that_met_no_request_is_shown_beside_the_requests() -> None:
    """The evidence has when it was open, and from when to when requests came."""
    log = log_of(
        happened("arrived", 1, request=1),
        happened("wave-opened", 5, wave=0),
        happened("wave-closed", 7, wave=0),
        happened("arrived", 9, request=2),
        waves=1,
    )
    assert [line.partition(": ")[2] or line for line in exercised.judge(log).evidence] == [
        "'a': wave 1 opened",
        "'a': wave 1 closed",
        "2 request(s) arrived, from 1s to 9s",
    ]


def test_waves_and_faults_that_all_met_somebody_pass() -> None:
    """One refusal by each wave and one answer hit by each fault are enough."""
    log = log_of(
        happened("refused", 1, request=1, wave=0),
        happened("answered", 2, request=2, fault=0),
        waves=1,
        faults=1,
    )
    assert exercised.judge(log).passed is True


def test_a_fault_that_drove_its_client_away_has_met_it() -> None:
    """A client that gives up during a stall never gets the answer, but it met the fault."""
    assert (
        exercised.judge(log_of(happened("left", 5, request=1, status=200, fault=0), faults=1)).passed is True
    )


def test_a_barrier_that_never_filled_is_reported() -> None:
    """Requests that were held and then served say nothing about the barrier's refusals."""
    verdict = exercised.judge(log_of(happened("held", 1, request=1, wave=0), waves=1))
    assert verdict.passed is False
    assert verdict.summary == "wave 1 held requests but never filled"


def test_a_limits_refusal_is_no_waves() -> None:
    """A refusal without a wave leaves the first wave unmet."""
    assert exercised.judge(log_of(happened("refused", 1, request=1), waves=1)).passed is False


# -- choosing --------------------------------------------------------------------------------------


def test_names_are_read_from_sets_lists_and_commas() -> None:
    """`default`, `strict`, one name, several with commas or in a list: each once, in catalogue order."""
    declared = ("outcomes", "within", "request_rate", "always")
    default = ("liveness", "exactly_once", "right_answer", "answered", "hosts", *declared)
    assert named("default") == DEFAULT == default
    assert named("strict") == STRICT == tuple(name for name in CHECKS if name != "exercised")
    assert named("exercised, liveness") == ("liveness", "exercised")
    assert named(["strict", "exercised", "liveness"]) == tuple(CHECKS)
    assert named(()) == ()


def test_an_unknown_check_is_named_with_the_nearest() -> None:
    """A slip gets a suggestion, and every name gets the list."""
    with pytest.raises(UnknownCheck, match=r"no check 'livenes'; did you mean 'liveness'\? There are: live"):
        named("default,livenes")
    with pytest.raises(UnknownCheck, match=r"no check 'zzz'\. There are: liveness, .*, default, strict$"):
        named(["zzz"])


def test_judging_gives_a_verdict_for_each_name() -> None:
    """The result is keyed by name, in the catalogue's order."""
    verdicts = judge(log_of(end=ended("returned")), "exercised,liveness")
    assert list(verdicts) == ["liveness", "exercised"]
    assert all(name == verdict.name for name, verdict in verdicts.items())


@pytest.mark.parametrize(("passed", "word"), [(True, "passed"), (False, "failed"), (None, "not judged")])
def test_a_verdict_prints_its_summary_and_evidence(passed: bool | None, word: str) -> None:
    """One line of judgement, and the evidence below it."""
    verdict = Verdict("liveness", passed, "so it is", ("one", "two"))
    assert str(verdict) == f"liveness {word}: so it is\n  one\n  two"


def test_tolerance_is_a_millisecond() -> None:
    """An instant early by exactly the tolerance passes, one nanosecond more does not."""
    first = refused(1, 0)
    due = first[1].at + 2 * SECOND
    for early, passed in ((MILLISECOND, True), (MILLISECOND + 1, False)):
        repeat = Event(at=due, kind="arrived", item="a", request=2, declared=True, sent=due - early)
        assert judged(first, repeat).passed is passed


def turned_away(at: float, number: int, status: int = 429) -> list[Event]:
    """A request and its refusal."""
    return [
        happened("arrived", at, request=number, host="api.openai.com", model="m"),
        happened("refused", at, request=number, status=status),
    ]


@pytest.mark.parametrize(
    ("statuses", "more", "said"),
    [
        ((429,) * 8, [], "in all 8 requests, each refused with 429"),
        ((429, 503, 429), [], "in all 3 requests: 2 refused with 429, 1 refused with 503"),
        (
            (429, 429),
            [happened("arrived", 9, request=9)],
            "in all 3 requests: 2 refused with 429, 1 without a reply",
        ),
        ((429, 429), [], None),
        ((429, 429, 429), [happened("answered", 9, request=9, status=200)], None),
    ],
)
def test_the_story_of_an_item_that_is_given_up_ends_with_a_sum(
    statuses: tuple[int, ...], more: list[Event], said: str | None
) -> None:
    """How often it was asked for, and what came of that; one or two requests are soon counted."""
    asked = [event for number, status in enumerate(statuses) for event in turned_away(number, number, status)]
    lines = history(log_of(happened("submitted", 0), asked, more), "a")
    assert (lines[-1] if lines[-1].startswith("in all") else None) == said
    given_up = happened("failed", 9, error="E: no", error_type="E")
    log = log_of(
        happened("submitted", 0), asked, more, given_up, end=ended("returned"), expects={"failed": 0}
    )
    line = outcomes.judge(log).evidence[-1]
    assert line == "at 9s: 'a': reported as failed: E: no" + (f"; {said}" if said is not None else "")


def test_an_error_that_is_cut_says_so() -> None:
    """Nobody takes the rest for the whole message."""
    long = Unseen(task="work", at=SECOND, error="E: " + "x" * 500, file="a.py", line=3)
    (line,) = causes(log_of(end=RunEnd(how="returned", at=SECOND, steps=1, unseen=(long,))))
    assert line.endswith("xxx… (a.py:3)")
