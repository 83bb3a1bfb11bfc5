"""What may be set on the objects that a test is given: their own attributes, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

import wavetank
from wavetank.checks import UnknownCheck, named
from wavetank.tank.hosted_world import Hosted


@pytest.fixture
def tank() -> Any:
    return Hosted(wavetank.load_scenario("calm"), seed=0, replay="").tank


def test_a_misspelt_attribute_is_refused(tank: Any) -> None:
    """It would do nothing; the error has the nearest name, or all of them."""
    with pytest.raises(
        AttributeError, match=r"FakeLLM has no attribute 'itemof' to set; did you mean 'item_of'"
    ):
        tank.fake_llm.itemof = lambda _: None
    with pytest.raises(
        AttributeError, match=r"'max_virtual_second' to set; did you mean 'max_virtual_seconds'"
    ):
        tank.max_virtual_second = 5
    with pytest.raises(AttributeError, match=r"Tank has no attribute 'zzz' to set\. There are: .*fake_llm, "):
        tank.zzz = 5


def test_methods_and_settings_may_be_set(tank: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may put its own function in the place of a method."""
    tank.fake_llm.item_of = lambda _: "row-1"
    tank.max_virtual_seconds = 600
    monkeypatch.setattr(tank.fake_llm, "call", lambda: "mine")
    assert tank.fake_llm.call() == "mine"
    monkeypatch.undo()
    assert tank.fake_llm.call.__name__ == "call"


def test_values_of_the_wrong_kind_are_refused(tank: Any) -> None:
    """At once, and not at the first request."""
    with pytest.raises(TypeError, match=r"item_of = 'row-1': give a function"):
        tank.fake_llm.item_of = "row-1"
    with pytest.raises(TypeError, match=r"check\(exactly_once=5\): give a list of items, \['5'\]"):
        tank.fake_llm.check(exactly_once=5)
    with pytest.raises(TypeError, match=r"watch\(5, \.\.\.\): give the name"):
        tank.watch(5, lambda: 1)
    with pytest.raises(ValueError, match=r"max_virtual_seconds=True: the budget is a number"):
        tank.max_virtual_seconds = True


def test_signs_change_a_set() -> None:
    """The default one unless another stands before them; they do not stand beside single names."""
    assert "no_storm" not in named("strict,-no_storm")
    assert "no_storm" in named("+no_storm")
    assert named("default,+no_storm") == named("+no_storm")
    for mixed in ("no_storm,+order", "+order,no_storm", "+order,strict"):
        with pytest.raises(UnknownCheck, match="has no sign and '\\+order' has one"):
            named(mixed)
    with pytest.raises(UnknownCheck, match="there is no check '\\+order'"):
        named("++order")
    with pytest.raises(UnknownCheck, match="no check is named"):
        named("")
