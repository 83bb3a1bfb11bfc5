"""The checks on items, `exactly_once` and `right_answer`, judged on logs written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from wavetank.checks import exactly_once, right_answer
from wavetank.checks.exactly_once import judge_items
from wavetank.checks.verdict import Verdict
from wavetank.clock import MILLISECOND, SECOND
from wavetank.events import Event, EventKind, EventLog, Header, RunEnd


def log_of(*events: Event | list[Event], how: Any = "returned", **expects: int | float) -> EventLog:
    """A log of these events, in order, of a run that ended `how`; `None` leaves it open."""
    log = EventLog(Header(scenario="calm", digest="00000000", seed=0, backend="asyncio", expects=expects))
    for event in events:
        for each in event if isinstance(event, list) else [event]:
            log.append(each)
    if how is not None:
        log.finish(RunEnd(how=how, at=10 * SECOND, steps=1))
    return log


def happened(kind: EventKind, item: str, at: int = 0, **fields: Any) -> Event:
    return Event(at=at * MILLISECOND, kind=kind, item=item, **fields)


def submitted(item: str) -> Event:
    return happened("submitted", item)


def completed(item: str, *marks: str) -> Event:
    return happened("completed", item, 900, value=" ".join(f"[wt:{mark}]" for mark in marks), marks=marks)


def paid(item: str, request: int = 1, *, declared: bool = True, fault: int | None = None) -> list[Event]:
    """A request that was answered, and its answer delivered."""
    return [
        happened("arrived", item, 100, request=request, declared=declared, model="m", key="key-1"),
        happened("answered", item, 200, request=request, status=200, fault=fault),
        happened("delivered", item, 300, request=request, status=200, fault=fault),
    ]


def hung_up(item: str, request: int = 1, *, answered: bool = True, **fault: Any) -> list[Event]:
    """A request whose client left: after the answer was sent, or while it was under way."""
    arrived = happened("arrived", item, 100, request=request, declared=True, model="m", key="key-1")
    answer = happened("answered", item, 200, request=request, status=200, **fault)
    left = happened("left", item, 250, request=request, status=200, **fault)
    return [arrived, answer, left] if answered else [arrived, left]


def assert_fails(verdict: Verdict, summary: str) -> None:
    assert verdict.passed is False
    assert verdict.summary == summary


# -- exactly_once ---------------------------------------------------------------------------------


def test_an_item_with_one_outcome_and_one_paid_answer_passes() -> None:
    """The plain case: submitted, paid once, completed."""
    verdict = exactly_once.judge(log_of(submitted("a"), paid("a"), completed("a", "a")))
    assert verdict.passed is True
    assert verdict.summary == "1 item(s), each with one outcome"
    assert verdict.evidence == ()


@pytest.mark.parametrize("outcome", ["failed", "cancelled"])
def test_a_reported_failure_and_a_cancelled_item_are_outcomes(outcome: EventKind) -> None:
    """A client that says it gave up, or that an item was called off, has lost nothing."""
    assert exactly_once.judge(log_of(submitted("a"), happened(outcome, "a"))).passed is True


def test_an_item_without_an_outcome_is_lost() -> None:
    """The text names the lost item, and the evidence tells its story with instants."""
    log = log_of(submitted("a"), submitted("b"), paid("a"), paid("b", 2), completed("a"))
    verdict = exactly_once.judge(log)
    assert_fails(verdict, "item 'b' was lost: it was submitted and never came to an outcome")
    assert verdict.evidence == (
        "item 'b' was lost: it was submitted and never came to an outcome",
        "  at 0s: submitted",
        "  at 100ms: request 2 arrived at the provider (m)",
        "  at 200ms: request 2 was answered",
        "  at 300ms: the answer to request 2 was delivered (paid)",
    )


@pytest.mark.parametrize("second", ["completed", "failed", "cancelled"])
def test_an_item_reported_twice_fails(second: EventKind) -> None:
    """Two outcomes of one item are one too many, whatever they are."""
    verdict = exactly_once.judge(log_of(submitted("a"), completed("a"), happened(second, "a")))
    assert_fails(verdict, "item 'a' was reported 2 times")


def test_an_item_out_of_nowhere_fails() -> None:
    """A result for an item that was neither submitted nor requested is made up."""
    verdict = exactly_once.judge(log_of(submitted("a"), completed("a"), completed("z")))
    assert_fails(verdict, "item 'z' was completed, but neither submitted nor requested")


def test_an_item_that_was_requested_need_not_be_submitted() -> None:
    """A ledger may get results only."""
    assert exactly_once.judge(log_of(paid("a"), completed("a"))).passed is True


def test_an_item_that_failed_out_of_nowhere_is_no_result() -> None:
    """Only a completed value can be made up; a failure hands out nothing."""
    assert exactly_once.judge(log_of(happened("failed", "z"))).passed is True


def test_an_item_paid_twice_fails() -> None:
    """Two delivered answers to a declared item of the ledger were paid twice."""
    verdict = exactly_once.judge(log_of(submitted("a"), paid("a", 1), paid("a", 2), completed("a")))
    assert_fails(verdict, "item 'a' was paid 2 times (declared: 1)")


def test_what_was_declared_may_be_paid() -> None:
    """With `paid_per_item=2` two answers pass and three fail."""
    events: list[Event | list[Event]] = [submitted("a"), paid("a", 1), paid("a", 2), completed("a")]
    assert exactly_once.judge(log_of(*events, paid_per_item=2)).passed is True
    verdict = exactly_once.judge(log_of(*events, paid("a", 3), paid_per_item=2))
    assert_fails(verdict, "item 'a' was paid 3 times (declared: 2)")


def test_an_inferred_item_is_never_judged_for_double_pay() -> None:
    """Two rows may hold the same text, so two answers to it say nothing."""
    twice = [paid("a", 1, declared=False), paid("a", 2, declared=False)]
    assert exactly_once.judge(log_of(submitted("a"), *twice, completed("a"))).passed is True
    one_of_each = [paid("a", 1, declared=False), paid("a", 2)]
    assert exactly_once.judge(log_of(submitted("a"), *one_of_each, completed("a"))).passed is True


def test_an_item_outside_the_ledger_is_judged_for_nothing() -> None:
    """A probe may be answered as often as it likes."""
    probes = [paid("probe", 1), paid("probe", 2)]
    assert exactly_once.judge(log_of(*probes, submitted("a"), completed("a"))).passed is True
    assert exactly_once.judge(log_of(*probes)).passed is None


def test_an_answer_spoiled_by_a_fault_is_not_paid() -> None:
    """Asking again after an answer that cannot be read is right."""
    log = log_of(submitted("a"), paid("a", 1, fault=0), paid("a", 2), completed("a"))
    verdict = exactly_once.judge(log)
    assert verdict.passed is True
    assert "wasted" not in verdict.summary


@pytest.mark.parametrize("answered", [True, False], ids=["sent", "under-way"])
def test_a_wasted_answer_is_listed_and_not_failed(answered: bool) -> None:
    """A repeat after the client's own timeout passes; the summary counts it, the evidence names it."""
    log = log_of(submitted("a"), hung_up("a", 1, answered=answered), paid("a", 2), completed("a"))
    verdict = exactly_once.judge(log)
    assert verdict.passed is True
    assert verdict.summary.endswith("; 1 answer(s) wasted on clients that had hung up")
    assert verdict.evidence == ("at 250ms: the answer to request 1 (item 'a') was wasted",)


@pytest.mark.parametrize("answered", [True, False], ids=["sent", "under-way"])
def test_a_wasted_answer_counts_when_pay_is_declared(answered: bool) -> None:
    """Who declares `paid_per_item` pays for what the provider produced, read or not."""
    events: list[Event | list[Event]] = [
        submitted("a"),
        hung_up("a", 1, answered=answered),
        paid("a", 2),
        completed("a"),
    ]
    verdict = exactly_once.judge(log_of(*events, paid_per_item=1))
    assert_fails(verdict, "item 'a' was paid 2 times (declared: 1)")
    assert exactly_once.judge(log_of(*events, paid_per_item=2)).passed is True


@pytest.mark.parametrize("kind", ["stall", "slow-trickle"])
def test_a_late_answer_that_no_client_waited_for_is_wasted(kind: str) -> None:
    """A fault that only takes time spoils nothing: the provider did the work."""
    late = hung_up("a", 1, answered=False, fault=0, reason=kind)
    events: list[Event | list[Event]] = [submitted("a"), late, paid("a", 2), completed("a")]
    assert "1 answer(s) wasted" in exactly_once.judge(log_of(*events)).summary
    assert exactly_once.judge(log_of(*events, paid_per_item=1)).passed is False


@pytest.mark.parametrize("answered", [True, False], ids=["sent", "under-way"])
def test_an_answer_that_the_provider_broke_off_is_not_wasted(answered: bool) -> None:
    """A client that leaves a broken connection has hung up on nothing."""
    broken = hung_up("a", 1, answered=answered, fault=0, reason="cut-mid-stream")
    events: list[Event | list[Event]] = [submitted("a"), broken, paid("a", 2), completed("a")]
    assert "wasted" not in exactly_once.judge(log_of(*events)).summary
    assert exactly_once.judge(log_of(*events, paid_per_item=1)).passed is True


def test_a_broken_answer_is_reported_as_the_scenario_s_doing() -> None:
    """The story of an item does not say that its client hung up when the provider broke the answer off."""
    broken = hung_up("a", 1, answered=True, fault=0, reason="reset")
    story = exactly_once.judge(log_of(submitted("a"), broken)).evidence
    assert story[-2].endswith("request 1 was answered, with the scenario's fault (reset)")
    assert story[-1].endswith("request 1 ended without a whole answer")


def test_a_refused_request_that_was_given_up_is_not_wasted() -> None:
    """Hanging up on a refusal, or before the provider decided, costs nothing."""
    events: list[Event | list[Event]] = [
        happened("arrived", "a", 1, request=1, declared=True),
        happened("refused", "a", 2, request=1, status=429, scope="account"),
        happened("left", "a", 3, request=1, status=429),
        happened("arrived", "a", 4, request=2, declared=True),
        happened("left", "a", 5, request=2),
    ]
    assert "wasted" not in exactly_once.judge(log_of(submitted("a"), *events, completed("a"))).summary


def test_many_wasted_answers_are_counted_and_the_first_ten_named() -> None:
    """The list stays short, and the number of all is stated."""
    wasted = [hung_up("a", number) for number in range(1, 13)]
    verdict = exactly_once.judge(log_of(submitted("a"), *wasted, completed("a")))
    assert "12 answer(s) wasted" in verdict.summary
    assert len(verdict.evidence) == 11
    assert verdict.evidence[-1] == "and 2 more"


def test_the_evidence_of_many_faults_is_short_and_names_the_items() -> None:
    """One item is described in full, the others are named."""
    verdict = exactly_once.judge(log_of(*(submitted(f"item-{number}") for number in range(6))))
    assert verdict.passed is False
    assert verdict.summary.endswith(", and 5 more finding(s)")
    assert verdict.evidence[-1] == "and 5 more: 'item-1', 'item-2', 'item-3', 'item-4', 'item-5'"


def test_findings_of_another_kind_have_a_line_of_their_own() -> None:
    """They are not listed as if they were lost as well; of one kind, whatever its numbers, one is said."""
    entered = [submitted(item) for item in ("a", "b", "c", "d")]
    reported = [completed("c"), completed("c"), *(completed("d") for _ in range(3))]
    verdict = exactly_once.judge(log_of(*entered, *reported))
    assert verdict.evidence[-2:] == ("and 1 more: 'b'", "item 'c' was reported 2 times; and 1 more: 'd'")


def test_an_empty_ledger_is_not_judged() -> None:
    """Without a ledger there is nothing to lose."""
    verdict = exactly_once.judge(log_of(paid("a")))
    assert verdict.passed is None
    assert verdict.summary == "nothing was entered in the ledger"


def test_main_that_raised_has_lost_nothing() -> None:
    """Items are lost when `main` returned; what was reported twice stays wrong."""
    assert exactly_once.judge(log_of(submitted("a"), how="raised")).passed is None
    twice = log_of(submitted("a"), completed("a"), completed("a"), how="raised")
    assert_fails(exactly_once.judge(twice), "item 'a' was reported 2 times")


@pytest.mark.parametrize("how", ["deadlock", "time", "steps"])
def test_a_stopped_run_gives_evidence_and_no_second_failure(how: str) -> None:
    """Items that a hang left open are listed, not judged."""
    verdict = exactly_once.judge(log_of(submitted("a"), submitted("b"), completed("b"), how=how))
    assert verdict.passed is None
    assert verdict.summary == "the run was stopped: 1 finding(s) so far"
    assert verdict.evidence[0] == "item 'a' was lost: it was submitted and never came to an outcome"


def test_a_log_that_is_still_open_is_judged_as_it_stands() -> None:
    """A check in the middle of a test sees what was lost up to there."""
    assert exactly_once.judge(log_of(submitted("a"), how=None)).passed is False
    assert exactly_once.judge(log_of(submitted("a"), completed("a"), how=None)).passed is True


# -- exactly these items ---------------------------------------------------------------------------


def test_exactly_the_wanted_items_were_answered() -> None:
    """Each wanted item once and no other: passes, with or without a ledger."""
    verdict = judge_items(log_of(paid("a", 1), paid("b", 2)), ["b", "a"])
    assert verdict.passed is True
    assert verdict.summary == "2 item(s), each answered once"


@pytest.mark.parametrize(
    ("events", "summary"),
    [
        ([paid("a", 1)], "item 'b' got no answer"),
        ([paid("a", 1), paid("b", 2), paid("b", 3)], "item 'b' was answered 2 times"),
        ([paid("a", 1), paid("b", 2), paid("c", 3)], "item 'c' was answered, but not asked for"),
        ([paid("a", 1), paid("b", 2, fault=0)], "item 'b' got no answer"),
        ([paid("a", 1), hung_up("b", 2)], "item 'b' got no answer"),
    ],
    ids=["missing", "twice", "another", "spoiled", "wasted"],
)
def test_anything_else_than_the_wanted_items_fails(events: list[list[Event]], summary: str) -> None:
    """A missing, double or foreign answer is named; a spoiled or unread one is none."""
    assert_fails(judge_items(log_of(*events), ["a", "b"]), summary)


# -- right_answer ----------------------------------------------------------------------------------


def test_a_value_with_its_own_mark_passes() -> None:
    """Each completed value carries the mark of its item."""
    log = log_of(submitted("a"), submitted("b"), completed("a", "a"), completed("b", "b"))
    verdict = right_answer.judge(log)
    assert verdict.passed is True
    assert verdict.summary == "2 value(s), each with its own item's mark"


def test_a_value_with_the_mark_of_another_item_fails() -> None:
    """The text names both items, the evidence has the value."""
    log = log_of(
        submitted("a"), submitted("b"), paid("a"), paid("b", 2), completed("a", "a"), completed("b", "a")
    )
    verdict = right_answer.judge(log)
    assert_fails(verdict, "item 'b' was completed with the answer of 'a'")
    assert (verdict.evidence[0], *verdict.evidence[-2:]) == (
        "at 0s: submitted",
        "at 900ms: completed",
        "the value was '[wt:a]'",
    )


def test_the_answer_to_an_equal_question_is_right() -> None:
    """Rows that ask the very same may share an answer; a third that asks something else may not."""
    same = [
        happened("arrived", item, 100, request=number, declared=True, same_as=first)
        for number, (item, first) in enumerate([("a", None), ("b", 1), ("c", 1), ("d", None)], 1)
    ]
    log = log_of(same, completed("a", "a"), completed("b", "a"), completed("c", "b"))
    assert right_answer.judge(log).passed is True
    assert_fails(
        right_answer.judge(log_of(same, submitted("a"), completed("d", "a"))),
        "item 'd' was completed with the answer of 'a'",
    )


def test_a_value_from_a_cache_is_not_judged() -> None:
    """An item without a request of its own has the answer to the question that another item asked."""
    log = log_of(submitted("a"), submitted("b"), paid("a"), completed("a", "a"), completed("b", "a"))
    assert right_answer.judge(log).summary == "1 value(s), each with its own item's mark"


def test_a_value_with_its_own_mark_among_others_passes() -> None:
    """A value that joins answers is right as long as its own is among them."""
    log = log_of(submitted("a"), submitted("b"), completed("a", "b", "a"), completed("b", "b"))
    assert right_answer.judge(log).passed is True


@pytest.mark.parametrize(
    "value", [completed("a"), completed("a", "probe"), happened("failed", "a")], ids=["none", "foreign", "no"]
)
def test_a_value_without_a_mark_of_the_ledger_is_not_judged(value: Event) -> None:
    """No mark, the mark of no ledger item, or no value at all: nothing to compare."""
    log = log_of(paid("probe"), submitted("a"), value)
    assert right_answer.judge(log).passed is None


def test_unmarked_values_do_not_hide_a_swap() -> None:
    """Values that cannot be judged leave the others to be judged."""
    log = log_of(submitted("a"), submitted("b"), paid("b"), completed("a"), completed("b", "a"))
    assert right_answer.judge(log).passed is False


def test_an_outcome_alone_makes_a_ledger_item() -> None:
    """An item that was only ever reported is in the ledger, too."""
    log = log_of(paid("a"), completed("a", "b"), completed("b", "b"))
    assert right_answer.judge(log).passed is False
