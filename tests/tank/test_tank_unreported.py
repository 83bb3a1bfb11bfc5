"""Which answers a program that is interrupted could not yet keep."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import pytest

from wavetank.events import Event, EventKind
from wavetank.tank.unreported import UnreportedAnswers

TASK = object()
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Answer:
    id: int
    item: str


def noted(answers: UnreportedAnswers, notes: list[int]) -> list[int]:
    """The requests that are noted when the program asks for both items again."""
    answers.interrupted()
    for item in "ab":
        answers.entered(Event(at=9 * SECOND, kind="arrived", item=item))
    return notes


@pytest.mark.parametrize(
    ("task", "item", "stalled", "unreported"),
    [
        (TASK, "b", False, [2]),  # it had time to keep the first
        (TASK, "b", True, [1, 2]),  # all of the time passed in a stall
        (TASK, "a", False, [1, 2]),  # it asked for the same item again
        (None, "b", False, [1, 2]),  # a thread, which hands its answer to another
    ],
)
def test_a_task_that_goes_on_could_keep_its_answer(
    task: object, item: str, stalled: bool, unreported: list[int]
) -> None:
    """If it has an answer for another item since, and time passed outside of stalls."""
    notes: list[int] = []
    answers = UnreportedAnswers(lambda _, *, item, request: notes.append(request))  # noqa: ARG005
    answers.delivered(Answer(1, "a"), task, SECOND)
    if stalled:
        answers.entered(Event(at=2 * SECOND, kind="stalled", since=SECOND))
    answers.delivered(Answer(2, item), task, 2 * SECOND)
    assert noted(answers, notes) == unreported


@pytest.mark.parametrize(
    ("task", "outcome", "unreported"),
    [
        (None, None, [1, 2]),  # threads that hand their answers on
        (None, "completed", [2]),  # reported: it is kept
        (None, "cancelled", [1, 2]),  # called off, for the next session
        (TASK, None, [2]),  # a task that lives on had time to keep the first
    ],
)
def test_what_comes_while_the_program_ends_is_judged_alike(
    task: object, outcome: EventKind | None, unreported: list[int]
) -> None:
    """An answer that came after the interruption is unreported, unless it was reported or could be kept."""
    notes: list[int] = []
    answers = UnreportedAnswers(lambda _, *, item, request: notes.append(request))  # noqa: ARG005
    answers.interrupted()
    answers.delivered(Answer(1, "a"), task, SECOND)
    if outcome is not None:
        answers.entered(Event(at=SECOND, kind=outcome, item="a"))
    answers.delivered(Answer(2, "b"), task, 2 * SECOND)
    answers.entered(Event(at=3 * SECOND, kind="restarted"))
    for item in "ab":
        answers.entered(Event(at=9 * SECOND, kind="arrived", item=item))
    assert notes == unreported


def lines_of_polls(number: int) -> int:
    """The lines that are run for so many answers of one item."""
    answers, lines = UnreportedAnswers(lambda _, **__: None), 0

    def trace(_frame: object, event: str, _argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for poll in range(number):
            answers.delivered(Answer(poll, "a"), TASK, poll * SECOND)
    finally:
        sys.settrace(before)
    return lines


def test_a_poll_takes_no_longer_than_the_one_before() -> None:
    """Four times as many polls for one item take about four times as many steps of the program."""
    assert lines_of_polls(400) < 5 * lines_of_polls(100)
