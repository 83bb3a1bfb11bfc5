"""Whose answer a value is, by its text, and what the check makes of it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from wavetank.checks import right_answer
from wavetank.clock import SECOND
from wavetank.events import Event, EventLog, Header, RunEnd
from wavetank.provider import remembered
from wavetank.provider.remembered import Remembered, Whose


class Label(BaseModel):
    """What a program may make of an answer."""

    label: str


@dataclasses.dataclass
class Row:
    """The same, with the answer inside."""

    id: int
    answer: Any


@pytest.fixture
def memory() -> Remembered:
    """Three items were answered, one of them twice."""
    memory = Remembered()
    memory.add("a", ('{"label": "bug"}',))
    memory.add("a", ("A text of a.",))
    memory.add("b", ('{"label": "wish", "n": [1]}',))
    memory.add("c", ("bug", "", "  "))
    return memory


@pytest.mark.parametrize(
    ("value", "alike"),
    [
        ('{ "label":"bug" }', ("a",)),
        (" A text of a.\n", ("a",)),
        ({"n": [1], "label": "wish"}, ("b",)),
        (Label(label="bug"), ("a", "c")),
        (Row(1, Label(label="bug")), ("a", "c")),
        ([{"deep": ("A text of a.",)}], ("a",)),
        ({"label": "bug"}, ("a", "c")),
        ("bug", ("c",)),
        ("", ()),
        (None, ()),
        (1, ()),
        (object(), ()),
    ],
)
def test_a_value_is_compared_by_what_it_says(memory: Remembered, value: Any, alike: tuple[str, ...]) -> None:
    """JSON however it is written, models, data classes, and what holds an answer."""
    assert memory.whose("x", value, str(value)) == Whose((), alike)


def test_a_part_of_its_own_answer_is_its_own(memory: Remembered) -> None:
    """In small letters or large ones, beside the item whose answer it is as a whole."""
    assert memory.whose("a", "BUG", "BUG").alike == ("a",)
    assert memory.whose("a", "bug", "bug").alike == ("c", "a")


def test_a_mark_goes_before_all(memory: Remembered) -> None:
    """It names its item beyond doubt."""
    assert memory.whose("a", "[wt:b] bug", "[wt:b] bug") == Whose(("b",), ())


def test_it_remembers_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest answers of an item, and the items that were answered the longest ago, are forgotten."""
    monkeypatch.setattr(remembered, "_ITEMS", 3)
    monkeypatch.setattr(remembered, "_ANSWERS", 2)
    memory = Remembered()
    for item in "abcda":
        for number in range(3):
            memory.add(item, (f"{item} {number}",))
    known = [
        name for name in ("a 0", "a 1", "a 2", "b 2", "c 2", "d 1") if memory.whose("x", name, name).alike
    ]
    assert known == ["a 1", "a 2", "c 2", "d 1"]
    assert repr(memory) == "<Remembered [3 items]>"


ITEMS = st.lists(st.sampled_from("abcdefgh"), min_size=2, unique=True)
TEXTS = st.sampled_from(
    [json.dumps({"label": name}) for name in ("bug", "wish", "defect")] + ["bug", "Bug", "no"]
)


def judged(answers: dict[str, str], values: dict[str, Any]) -> Any:
    """What the check says of a run that gave these answers and completed with these values."""
    memory = Remembered()
    log = EventLog(Header(scenario="calm", digest="00000000", seed=0, backend="asyncio"))
    for number, (item, text) in enumerate(answers.items(), 1):
        memory.add(item, (text,))
        log.append(Event(at=0, kind="submitted", item=item))
        log.append(Event(at=0, kind="arrived", item=item, request=number, declared=True))
    for item, value in values.items():
        whose = memory.whose(item, value, str(value))
        log.append(Event(at=SECOND, kind="completed", item=item, marks=whose.marks, alike=whose.alike))
    log.finish(RunEnd(how="returned", at=SECOND))
    return right_answer.judge(log)


@given(st.data())
def test_what_rewrites_its_answers_is_never_blamed(data: st.DataObject) -> None:
    """Whatever it makes of them, as long as it leaves alone what it has made."""
    answers = {item: data.draw(TEXTS) for item in data.draw(ITEMS)}
    said = sorted({*answers.values()})
    kept = data.draw(st.lists(st.sampled_from(said), min_size=1, unique=True))
    rewritten = {text: text if text in kept else data.draw(st.sampled_from(kept)) for text in said}
    values = {item: rewritten[text] for item, text in answers.items()}
    assert judged(answers, values).passed is not False


@given(ITEMS, st.integers(1, 7))
def test_what_exchanges_different_answers_is_caught(items: list[str], shift: int) -> None:
    """In pairs or in a ring."""
    answers = {item: f"The answer to {item}." for item in items}
    texts = [*answers.values()]
    by = shift % len(items)
    values = dict(zip(items, texts[by:] + texts[:by], strict=True))
    assert judged(answers, values).passed is (by == 0)
