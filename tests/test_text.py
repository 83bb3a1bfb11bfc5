"""The small texts of messages."""

from __future__ import annotations

import pytest

from wavetank.text import LARGEST_SEED, counted, did_you_mean, parse_positive, parse_seed, times


def test_numbers_have_the_right_plural() -> None:
    """One thing, several things, and plurals that do not end in s."""
    assert [counted(n, "process", "processes") for n in (0, 1, 2)] == [
        "0 processes",
        "1 process",
        "2 processes",
    ]
    assert [times(n) for n in (1, 2)] == ["once", "2 times"]


def test_a_similar_name_is_suggested() -> None:
    """Case does not matter, and the name is shown as it is known; names that are not similar are not."""
    assert did_you_mean("cascde", ["calm", "Cascade"]) == "did you mean 'Cascade'?"
    assert did_you_mean("cam", ["calm"], start="; ", end=" ") == "; did you mean 'calm'? "
    assert did_you_mean("zebra", ["calm", "Cascade"], start="; ") == did_you_mean("", []) == ""


@pytest.mark.parametrize("text", ["-1", "1.0", "", "x", str(LARGEST_SEED + 1)])
def test_a_seed_is_a_whole_number_of_64_bits(text: str) -> None:
    """All seeds are read, and everything else is an error."""
    assert [parse_seed("0"), parse_seed(str(LARGEST_SEED))] == [0, LARGEST_SEED]
    with pytest.raises(ValueError, match="from 0 to 2\\*\\*64 - 1"):
        parse_seed(text)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "", "ten"])
def test_a_positive_number_is_finite_and_above_0(text: str) -> None:
    """A number of seconds or an amount of money."""
    assert parse_positive("0.5") == 0.5
    with pytest.raises(ValueError, match="is no number above 0"):
        parse_positive(text)
