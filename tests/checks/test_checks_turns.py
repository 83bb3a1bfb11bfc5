"""The check `starvation`, and what the report of a livelock says is repeated."""

from __future__ import annotations

from typing import Any

import pytest

from wavetank.checks import liveness, starvation
from wavetank.checks.liveness import kind_of_hang
from wavetank.checks.repetition import repetition
from wavetank.clock import SECOND
from wavetank.events import Event, EventKind, EventLog, RunEnd

from .event_logs import happened, log_of


def submitted(*items: str) -> list[Event]:
    return [happened("submitted", 0, item) for item in items]


def asked(item: str, at: float, number: int, status: int = 200, **fields: Any) -> list[Event]:
    """A request and its reply, half a second later."""
    reply: EventKind = "answered" if status == 200 else "refused"
    return [
        happened("arrived", at, item, request=number, declared=True, sent=round(at * SECOND)),
        happened(reply, at + 0.5, item, request=number, status=status, **fields),
        happened("delivered", at + 0.5, item, request=number, status=status),
    ]


def others(count: int, at: float = 1, first: int = 0) -> list[Event]:
    """So many other items that are served, one a second."""
    found = []
    for number in range(first, first + count):
        found += asked(f"b{number}", at + number - first, 1000 + number)
        found.append(happened("completed", at + number - first + 0.5, f"b{number}"))
    return found


def names(count: int) -> list[str]:
    return [f"b{number}" for number in range(count)]


WANTS_FOUR: dict[str, int] = {"starvation": 4}


# -- starvation -----------------------------------------------------------------------------------------


def test_an_item_that_others_overtake_starves() -> None:
    """It was submitted first, and saw no request while four others came to an outcome."""
    log = log_of(submitted("a", *names(4)), others(4), asked("a", 9, 1), expects=WANTS_FOUR)
    verdict = starvation.judge(log)
    assert verdict.passed is False
    assert verdict.summary == "item 'a' saw no request for 4 outcomes of others, from 0s to 9s"
    assert verdict.evidence[0] == "at 0s: submitted"


def test_an_item_that_is_left_over_starves() -> None:
    """So does one that never sees a request at all."""
    verdict = starvation.judge(log_of(submitted("a", *names(4)), others(4), expects=WANTS_FOUR))
    assert verdict.passed is False
    assert verdict.summary == "item 'a' saw no request for 4 outcomes of others, from 0s to 4.5s"


def test_an_item_that_was_refused_and_forgotten_starves() -> None:
    """After a first request every outcome of another counts, also of one that was ahead of it."""
    log = log_of(
        submitted(*names(4), "a"), asked("a", 0, 1, 429), others(4), asked("a", 9, 2), expects=WANTS_FOUR
    )
    verdict = starvation.judge(log)
    assert verdict.passed is False
    assert verdict.summary == "item 'a' saw no request for 4 outcomes of others, from 500ms to 9s"


def test_a_hundred_outcomes_starve_an_item_unless_declared() -> None:
    """The number has a default, and a test can set it."""
    assert starvation.judge(log_of(submitted("a", *names(100)), others(100))).passed is False
    few = starvation.judge(log_of(submitted("a", *names(99)), others(99)))
    assert few.passed is None
    assert few.summary == "99 outcome(s) came; an item starves by 100 of others"


def in_order() -> EventLog:
    """First in, first out: the one that is served was ahead."""
    return log_of(submitted(*names(9)), others(9), expects=WANTS_FOUR)


def in_one_long_request() -> EventLog:
    """The item is being served the whole time."""
    request, *reply = asked("a", 0.1, 1)
    late = [happened(event.kind, 20, "a", request=1, status=200) for event in reply]
    return log_of(submitted("a", *names(5)), request, others(5), late, expects=WANTS_FOUR)


def with_retry_after() -> EventLog:
    """The provider asked the item, alone, to wait."""
    refused = asked("a", 0, 1, 429, retry_after=8 * SECOND, scope="item:a")
    return log_of(submitted("a", *names(5)), refused, others(5), asked("a", 9, 2), expects=WANTS_FOUR)


def reported_late() -> EventLog:
    """It was answered; its result is entered only at the end."""
    end = happened("completed", 20)
    return log_of(submitted("a", *names(5)), asked("a", 0, 1), others(5), end, expects=WANTS_FOUR)


def given_up() -> EventLog:
    """It was refused for good, which is reported at the end."""
    end = happened("failed", 20)
    return log_of(submitted("a", *names(5)), asked("a", 0, 1, 400), others(5), end, expects=WANTS_FOUR)


def one_turn_each() -> EventLog:
    """It asks again before four others are done."""
    return log_of(
        submitted("a", *names(6)),
        asked("a", 0, 1, 429),
        others(3),
        asked("a", 5, 2, 429),
        others(3, 6, first=3),
        asked("a", 10, 3),
        expects=WANTS_FOUR,
    )


def asked_under_another_name() -> EventLog:
    """A request that names no item of the ledger may be the one of the item that seems to wait."""
    inferred = happened("arrived", 0.5, "Summarise a", request=1)
    return log_of(submitted("a", *names(5)), inferred, others(5), expects=WANTS_FOUR)


@pytest.mark.parametrize(
    "log",
    [
        in_order,
        in_one_long_request,
        with_retry_after,
        reported_late,
        given_up,
        one_turn_each,
        asked_under_another_name,
    ],
)
def test_who_waits_for_a_good_reason_does_not_starve(log: Any) -> None:
    """What a fair client may do fails nothing."""
    assert starvation.judge(log()).passed is True


def test_without_requests_of_the_ledger_nothing_is_judged() -> None:
    """Neither an empty ledger nor one that no request matches says anything."""
    nothing = "no item of the ledger made a request"
    assert starvation.judge(log_of()).summary == nothing
    assert starvation.judge(log_of(submitted("a"))).summary == nothing
    probe = happened("arrived", 1, "ping", request=1)
    assert starvation.judge(log_of(submitted("a"), probe)).passed is None


# -- what repeats ------------------------------------------------------------------------------------------


def test_the_cycle_of_an_item_is_reported() -> None:
    """The same refusal at the same pace takes one line."""
    log = log_of(submitted("a"), [event for n in range(37) for event in asked("a", n, n + 1, 429)])
    assert repetition(log) == ("item 'a' met a refusal with 429 and asked again, every 1s, 37 times",)


def test_a_cycle_of_several_replies_is_reported_whole() -> None:
    """Replies that alternate are listed in their order, the last one last."""
    log = log_of(
        submitted("a"), [event for n in range(10) for event in asked("a", n, n + 1, (503, 429)[n % 2])]
    )
    assert repetition(log) == (
        "item 'a' met a refusal with 503, then met a refusal with 429 and asked again, every 1s, 10 times",
    )


def test_items_that_do_the_same_share_a_line() -> None:
    """A long list of items is cut."""
    items = [f"i{number}" for number in range(7)]
    log = log_of(
        submitted(*items),
        [
            e
            for n in range(5)
            for place, item in enumerate(items)
            for e in asked(item, n, 10 * n + place, 429)
        ],
    )
    (line,) = repetition(log)
    assert line == (
        "7 items ('i0', 'i1', 'i2', 'i3', 'i4', …), each met a refusal with 429 and asked again, every 1s, "
        "5 times"
    )


def test_an_uneven_pace_is_reported_by_its_bounds() -> None:
    """Backoff shows in the shortest and the longest gap."""
    log = log_of(submitted("a"), [event for n in range(5) for event in asked("a", 2**n, n + 1, 200)])
    assert repetition(log) == ("item 'a' got an answer and asked again, every 1s to 8s, 5 times",)


def test_only_what_came_after_the_last_outcome_is_reported() -> None:
    """A request that led to an outcome was not useless."""
    log = log_of(submitted("a", "b0"), [e for n in range(9) for e in asked("a", n, n + 1, 429)], others(1, 9))
    assert repetition(log) == ()


# -- stuck -------------------------------------------------------------------------------------------------


def stopped(how: Any, **fields: Any) -> RunEnd:
    return RunEnd(how=how, at=100 * SECOND, steps=500, **fields)


def test_a_partial_deadlock_names_the_tasks() -> None:
    """The summary has those that can never go on, and the paragraphs are the evidence."""
    end = stopped("deadlock", stuck=("main", "follower"), blocked=("  task 'main'",))
    verdict = liveness.judge(log_of(submitted("a"), end=end))
    assert verdict.passed is False
    assert verdict.summary == (
        "partial deadlock at 1m40s: 2 task(s) wait for ever while others still run: 'main', 'follower'"
    )
    assert verdict.evidence[-1] == "  task 'main'"


@pytest.mark.parametrize("how", ["time", "steps"])
def test_a_spent_budget_with_a_stuck_task_is_a_deadlock(how: str) -> None:
    """`main` continued for nothing: another task was always blocked; unless nothing ever gets through."""
    log = log_of(submitted("a"), end=stopped(how, stuck=("worker",), late_steps=200))
    assert kind_of_hang(log) == "deadlock"
    assert liveness.judge(log).summary.startswith("partial deadlock at 1m40s: 1 task(s)")
    hopeless = log_of(submitted("a"), end=stopped(how, stuck=("worker",)), passable=False)
    assert kind_of_hang(hopeless) is None
    assert liveness.judge(hopeless).passed is None


def test_a_livelock_shows_what_spins() -> None:
    """The last steps of the budget stand before the list of tasks."""
    end = stopped("steps", spinning=("  64 of the last 64 steps: task 'a'",), blocked=("  task 'a'",))
    evidence = liveness.judge(log_of(submitted("a"), end=end)).evidence
    assert evidence[0] == "  64 of the last 64 steps: task 'a'"
    assert evidence[-1] == "  task 'a'"
