"""Durations as text, and instants as floats that are never early."""

from __future__ import annotations

import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wavetank.clock import (
    EPOCH_NS,
    EPOCH_SECONDS,
    HOUR,
    MILLISECOND,
    MINUTE,
    SECOND,
    Duration,
    after_delay,
    at_instant,
    format_duration,
    parse_duration,
    real_now,
    to_seconds,
)

YEAR = 366 * 24 * HOUR
SECONDS = st.floats(min_value=0, max_value=1e6, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("0", 0),
        ("0s", 0),
        ("1ns", 1),
        ("2us", 2_000),
        ("2µs", 2_000),
        ("80ms", 80 * MILLISECOND),
        ("1500ms", 1_500 * MILLISECOND),
        ("1.5s", 1_500 * MILLISECOND),
        ("1m30s", 90 * SECOND),
        ("1h2m3.5s", HOUR + 2 * MINUTE + 3_500 * MILLISECOND),
        ("2d", 48 * HOUR),
        ("90_000s", 90_000 * SECOND),
        (" 5s ", 5 * SECOND),
    ],
)
def test_a_duration_is_read_in_nanoseconds(text: str, ns: int) -> None:
    """Each unit, fractions, joined units and digit groups are read exactly."""
    parsed = parse_duration(text)
    assert parsed == ns
    assert isinstance(parsed, Duration)


@pytest.mark.parametrize("text", ["", " ", "5", "s", "5 s", "-5s", "1.s", "1s!", "1w", "1,5s", "s5"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    """The error repeats the text and shows what a duration looks like."""
    with pytest.raises(ValueError, match="is not a duration") as caught:
        parse_duration(text)
    assert repr(text) in str(caught.value)
    assert '"1m30s"' in str(caught.value)


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5us"),
        (400 * MILLISECOND, "400ms"),
        (1_500_000, "1.5ms"),
        (SECOND, "1s"),
        (SECOND + 1, "1.000000001s"),
        (90 * SECOND, "1m30s"),
        (25 * HOUR, "25h"),
        (-5 * SECOND, "-5s"),
    ],
)
def test_a_duration_is_written_the_short_way(ns: int, text: str) -> None:
    """Whole hours and minutes come first, and no digit is lost."""
    assert format_duration(ns) == text


@given(st.integers(min_value=0, max_value=YEAR))
@example(10**9 - 1)
@example(60 * 10**9 + 1)
def test_a_written_duration_is_read_back_exactly(ns: int) -> None:
    """Reading undoes writing, to the nanosecond."""
    assert parse_duration(format_duration(ns)) == ns


def test_a_duration_shows_itself_as_text() -> None:
    """In error texts and reprs a duration looks like the text in a scenario file."""
    assert str(Duration(90 * SECOND)) == "1m30s"
    assert repr(Duration(80 * MILLISECOND)) == "Duration('80ms')"


@given(SECONDS)
@example(0.1)
@example(5e-324)
@example(0.3 - 0.1)
def test_a_delay_is_never_cut_short(seconds: float) -> None:
    """The delay in nanoseconds is the least that is no less than was asked, but for float noise."""
    ns = after_delay(seconds)
    assert ns / SECOND >= seconds or math.isclose(ns / SECOND, seconds, rel_tol=4e-15, abs_tol=1e-12)
    assert (ns > 0) == (seconds > 0)
    assert ns <= 1 or (ns - 1) / SECOND < seconds


@pytest.mark.parametrize("seconds", [0.0, -0.0, -1.0, -math.inf])
def test_a_delay_that_has_passed_is_none(seconds: float) -> None:
    """A delay of nothing or less takes no time."""
    assert after_delay(seconds) == 0


@given(SECONDS)
@example(0.1)
@example(1e6)
def test_an_instant_is_the_first_that_is_not_early(seconds: float) -> None:
    """The instant is no earlier than was asked, but for float noise, and the one before it is earlier."""
    ns = at_instant(seconds)
    assert ns / SECOND >= seconds or math.isclose(ns / SECOND, seconds, rel_tol=4e-15, abs_tol=1e-12)
    assert (ns - 1) / SECOND < seconds


@given(st.integers(min_value=0, max_value=10**15))
def test_an_instant_read_as_a_float_is_found_again(ns: int) -> None:
    """`at_instant` undoes `to_seconds`, so a deadline kept as a float does not drift."""
    assert at_instant(to_seconds(ns)) == ns


def test_an_instant_is_finite() -> None:
    """There is no instant for ever."""
    with pytest.raises(OverflowError, match="finite"):
        at_instant(math.inf)


def test_every_run_begins_with_the_year_2026() -> None:
    """The instant 0 is midnight UTC of 1 January 2026."""
    assert time.gmtime(EPOCH_SECONDS)[:6] == (2026, 1, 1, 0, 0, 0)
    assert EPOCH_NS == EPOCH_SECONDS * SECOND


def test_the_real_clock_is_not_the_patched_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """While `time` is patched, `real_now` still reads the machine."""
    before = real_now()
    monkeypatch.setattr(time, "monotonic_ns", lambda: -1)
    assert real_now() >= before
