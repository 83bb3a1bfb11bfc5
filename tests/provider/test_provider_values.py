"""The provider's small values: keyed picks, marks, token counts, identities, times in text."""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from wavetank.clock import EPOCH_SECONDS, HOUR, MILLISECOND, MINUTE, SECOND
from wavetank.provider import open_request as exchange
from wavetank.provider.answer_texts import (
    WITHOUT_ITEM,
    count_tokens,
    mark,
    marks_in,
    of_length,
    own_answer,
    tokens_of,
)
from wavetank.provider.content import Block, cut
from wavetank.provider.identity import identity, last_user_text, shortened
from wavetank.provider.picks import between, unit
from wavetank.provider.request import Request
from wavetank.provider.wire_formats import (
    agent_clock,
    decimal,
    go_duration,
    hexadecimal,
    imf_fixdate,
    rfc3339,
)


def test_a_pick_depends_on_its_key_alone() -> None:
    """The same seed and key give the same number; each part of the key matters."""
    keys = [("share", 0, "a", 0), ("share", 1, "a", 0), ("share", 0, "b", 0), ("share", 0, "a", 1)]
    picks = [unit(0, *key) for key in keys]
    assert picks == [unit(0, *key) for key in keys]
    assert len({*picks, unit(1, *keys[0])}) == 5


def test_the_parts_of_a_key_do_not_run_together() -> None:
    """Neither where a part ends nor its type is lost."""
    assert len({unit(0, "ab", "c"), unit(0, "a", "bc"), unit(0, "abc"), unit(0, "ab", "c", None)}) == 4
    assert unit(0, 1) != unit(0, "1")


def test_a_pick_is_the_same_in_every_version() -> None:
    """The numbers are pinned: to change them changes every recorded run."""
    assert between(0, 0, 10**9, "first-token", None, "item-1", 0) == 764021324
    assert unit(7, "share", 0, "item-1", 2) == 0.8102416260657787


@given(st.integers(), st.integers(-50, 50), st.integers(0, 5), st.text())
def test_a_pick_stays_within_its_ends(seed: int, low: int, width: int, name: str) -> None:
    """Both ends are included and nothing beyond them comes out."""
    assert low <= between(seed, low, low + width, name) <= low + width
    assert 0 <= unit(seed, name) < 1


def test_a_range_of_picks_reaches_both_ends() -> None:
    """Among many keys, the lowest and the highest value both occur."""
    assert {between(0, 1, 3, "x", n) for n in range(100)} == {1, 2, 3}


@given(st.text(), st.text())
def test_a_mark_is_found_in_no_other_mark(one: str, other: str) -> None:
    """Marks are delimited: the mark of one item is part of another's only if they are the same item."""
    assert (mark(one) in mark(other)) == (one == other)


@given(st.lists(st.text(st.characters(), max_size=8), max_size=4))
def test_marks_are_read_back(items: list[str]) -> None:
    """All marks in a text are found, in order, each once, with their items decoded."""
    text = " and ".join(mark(item) for item in items)
    assert marks_in(text) == tuple(dict.fromkeys(items))


@given(st.text(alphabet="[]wt:%Fae ", max_size=30))
def test_any_text_can_be_searched_for_marks(text: str) -> None:
    """Text that only looks like a mark raises nothing."""
    assert all(mark(item) for item in marks_in(text))


def test_what_is_no_mark_of_ours_is_passed_over() -> None:
    """A percent sequence that is no text, and a mark that is not closed, name no item."""
    assert marks_in("[wt:%FF] [wt:a [wt:b]") == ("b",)


def test_the_answer_begins_with_its_mark() -> None:
    """The mark is the first token, whole, so that a stream cut later still carries it."""
    pieces = own_answer("item-1")
    assert (pieces[0], len(pieces)) == ("[wt:item-1]", 8)
    assert "".join(own_answer(None)) == "This answer carries no item."


@pytest.mark.parametrize(("allowed", "count"), [(0, 0), (3, 3), (8, 8), (99, 8)])
def test_an_answer_is_cut_to_its_first_pieces(allowed: int, count: int) -> None:
    """An answer longer than allowed ends early, in whichever block that is."""
    blocks = (
        Block("reasoning", ("a", "b")),
        Block("text", ("c", "d", "e")),
        Block("call", ("f", "g", "h"), "x"),
    )
    kept = [piece for block in cut(blocks, allowed) for piece in block.pieces]
    assert kept == list("abcdefgh")[:count]


@given(st.text())
def test_the_tokens_of_a_text_are_the_text(text: str) -> None:
    """To the letter, white space included; no token is empty."""
    tokens = tokens_of(text)
    assert "".join(tokens) == text
    assert all(tokens)


@given(st.lists(st.text(min_size=1), min_size=1).map(tuple), st.integers(0, 50))
def test_a_text_is_repeated_to_its_length(words: tuple[str, ...], count: int) -> None:
    """It has exactly as many pieces as are asked for, and begins as it is."""
    pieces = of_length(words, count)
    assert len(pieces) == count
    assert pieces[: len(words)] == words[:count]


def test_a_request_costs_its_prompt_and_the_longest_answer() -> None:
    """What counts is what the request allows, not what the answer takes."""
    request = Request(model="m", item="a", declared=True, prompt="", prompt_tokens=10)
    assert request.cost == 10 + len(own_answer("a"))
    assert replace(request, item=None).cost == 10 + len(WITHOUT_ITEM)
    assert replace(request, max_tokens=500).cost == 510
    assert replace(request, max_tokens=500, answer_tokens=3, copies=2).cost == 1010
    assert replace(request, answer_tokens=3).cost == 13


@pytest.mark.parametrize(("text", "tokens"), [("", 1), ("abcd", 1), ("abcde", 2), ("ééé", 2)])
def test_tokens_are_counted_by_bytes(text: str, tokens: int) -> None:
    """Four bytes are a token; there is at least one."""
    assert count_tokens(text) == tokens


def test_a_header_names_the_item_before_the_body_does() -> None:
    """Declared is the header, else the metadata; else the text infers it."""
    header, metadata = {"x-wavetank-item": "from-header"}, {"metadata": {"item": "from-body"}}
    assert identity(header, metadata, "text") == ("from-header", True)
    assert identity({}, metadata, "text") == ("from-body", True)
    assert identity({}, {"metadata": {"item": 7}}, "text") == ("text", False)
    assert identity({}, {}, "") == (None, False)


@pytest.mark.parametrize("wire", ["é".encode().decode("latin-1"), "é"])
def test_an_item_in_a_header_may_be_utf_8(wire: str) -> None:
    """Clients write header values in UTF-8 or Latin-1; both give the same item."""
    assert identity({"x-wavetank-item": wire}, {}, "") == ("é", True)


def test_long_texts_are_shortened_but_stay_distinct() -> None:
    """Up to 64 characters are kept; two longer texts with the same beginning differ."""
    assert shortened("x" * 64) == "x" * 64
    one, other = shortened("x" * 80 + "1"), shortened("x" * 80 + "2")
    assert one != other
    assert (len(one), one[:41]) == (49, "x" * 40 + "…")


def test_the_last_user_message_counts_whatever_its_form() -> None:
    """Content may be a string or a list of parts, of which only texts count."""
    parts = [{"type": "text", "text": "look"}, {"type": "image_url"}, {"type": "text", "text": "here"}]
    messages: list[Mapping[str, Any]] = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": parts},
        {"role": "assistant"},
    ]
    assert last_user_text(messages) == "look\nhere"
    assert last_user_text([{"role": "system", "content": "s"}]) == ""
    assert last_user_text([{"role": "user", "content": None}]) == ""


@given(st.integers(0, 10**10))
def test_dates_are_those_of_the_calendar(seconds: int) -> None:
    """The standard library reads every date back as the same second."""
    text = imf_fixdate(seconds * SECOND)
    assert email.utils.parsedate_to_datetime(text).timestamp() == seconds
    year, month, day = rfc3339(seconds * SECOND)[:10].split("-")
    assert text.split()[1] == day
    assert text.split()[3] == year
    assert int(month) in range(1, 13)


def test_times_in_text_are_rounded_up() -> None:
    """A stated reset or date is never too early."""
    assert imf_fixdate(EPOCH_SECONDS * SECOND + 1) == "Thu, 01 Jan 2026 00:00:01 GMT"
    assert rfc3339(EPOCH_SECONDS * SECOND + 1) == "2026-01-01T00:00:01Z"


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0s"),
        (1, "0.001ms"),
        (120 * MILLISECOND, "120ms"),
        (SECOND, "1s"),
        (6 * MINUTE, "6m0s"),
        (HOUR + 2 * MINUTE + 3500 * MILLISECOND, "1h2m3.5s"),
    ],
)
def test_durations_in_the_way_of_go(ns: int, text: str) -> None:
    """The rate-limit headers of OpenAI hold durations as Go prints them."""
    assert go_duration(ns) == text


def test_decimals_have_no_float_noise() -> None:
    """A tenth is a tenth."""
    assert [decimal(n, SECOND) for n in (SECOND // 10, SECOND, 1)] == ["0.1", "1", "0.000000001"]


def test_ids_depend_on_their_key() -> None:
    """Two requests have different ids, one request always the same."""
    assert hexadecimal(32, "openai", 1) == hexadecimal(32, "openai", 1) != hexadecimal(32, "openai", 2)


@pytest.mark.parametrize(
    ("now", "wait", "text"),
    [
        ("2026-01-01T00:00:00", 3600, "5pm"),
        ("2026-01-01T00:00:00", 3660, "5:01pm"),
        ("2026-01-01T00:00:00", 1, "4:01pm"),
        ("2026-01-01T07:30:00", 1800, "Jan 1, 12am"),
        ("2026-01-01T19:00:00", 5400, "12:30pm"),
        ("2026-03-08T09:00:00", 3600, "3am"),
        ("2026-07-01T19:00:00", 3600, "1pm"),
        ("2026-11-01T08:00:00", 3600, "1am"),
        ("2026-11-01T08:00:00", 7200, "2am"),
        ("2026-01-01T00:00:00", 90 * 86400, "Mar 31, 5pm"),
    ],
)
def test_an_agent_s_clock_is_that_of_los_angeles(now: str, wait: int, text: str) -> None:
    """With summer time, the date where it is another day, and no minutes at the full hour."""
    sent = int(datetime.fromisoformat(f"{now}+00:00").timestamp())
    then = (sent + wait) * SECOND
    assert agent_clock(sent * SECOND, then) == f"{text} (America/Los_Angeles)"


def test_requests_of_an_item_are_counted_in_memory_that_does_not_grow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The item that was not asked for the longest is forgotten first, and counts from 0 again."""
    monkeypatch.setattr(exchange, "REMEMBERED_ITEMS", 2)
    counted = exchange.RequestCounts()
    assert [counted.count(item) for item in ("a", "a", "b", "a", "c", "a", "b")] == [0, 1, 0, 2, 0, 3, 0]
