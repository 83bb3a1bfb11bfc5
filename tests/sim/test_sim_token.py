"""Schedule tokens: short text that is read back exactly, or refused in plain words."""

from __future__ import annotations

import base64
import string
import sys
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavetank.sim.choices import LEVELS, Deviation
from wavetank.sim.token import PREFIX, Cut, Schedule, TokenError

BACKENDS = st.sampled_from(["asyncio", "trio", "hosted"])
DIGESTS = st.binary(min_size=4, max_size=4).map(bytes.hex)
SIXTEEN_BITS = st.integers(0, 2**16 - 1)
PLAIN = st.builds(Schedule, BACKENDS, st.integers(0, 2**64 - 1), DIGESTS)
DEVIATIONS = st.dictionaries(
    st.integers(0, 10**6), st.tuples(st.integers(1, 200), st.integers(1, 200)), min_size=1, max_size=20
).map(
    lambda at: tuple(Deviation(place, choice, choice + more) for place, (choice, more) in sorted(at.items()))
)
CHOSEN = st.builds(
    Schedule,
    BACKENDS,
    st.integers(0, 2**64 - 1),
    DIGESTS,
    level=st.sampled_from(LEVELS),
    deviations=DEVIATIONS,
    cut=st.builds(Cut, st.integers(0, 2**70), st.integers(0, 500), st.integers(0, 50)),
    program=SIXTEEN_BITS,
    outcome=SIXTEEN_BITS,
    python=st.integers(11, 14),
    cpu_spent_at=st.none() | st.integers(0, 10**7),
)
SCHEDULES = PLAIN | CHOSEN
ALPHABET = string.ascii_letters + string.digits + "-_"


def sealed(body: bytes) -> str:
    """A token with a right checksum over any body."""
    data = body + zlib.crc32(body).to_bytes(4, "big")[:2]
    return PREFIX + base64.urlsafe_b64encode(data).decode().rstrip("=")


def refused(token: str) -> str:
    with pytest.raises(TokenError) as caught:
        Schedule.parse(token)
    return str(caught.value)


@given(SCHEDULES)
def test_round_trip(schedule: Schedule) -> None:
    """A token reads back as the schedule it was made from, and holds nothing a shell would touch."""
    token = schedule.token()
    assert Schedule.parse(token) == schedule
    assert set(token) <= set(ALPHABET)
    assert schedule.chosen or len(token) <= 30


def test_a_token_fits_on_a_line() -> None:
    """A usual one, three deviations among hundreds of choices, has about forty characters."""
    deviations = (Deviation(41, 1, 3), Deviation(300, 2, 9), Deviation(310, 1, 2))
    token = Schedule("trio", 0, "01020304", level=LEVELS[0], deviations=deviations, program=7).token()
    assert len(token) <= 42


def test_what_a_token_leaves_out_makes_it_chosen() -> None:
    """A run without deviations of which a part is left out is more than plain FIFO order."""
    plain = Schedule("trio", 0, "01020304")
    assert not plain.chosen
    assert replace(plain, cut=Cut(scenario=2)).chosen
    assert Schedule.parse(replace(plain, cut=Cut(2, 5, 1)).token()).cut == Cut(2, 5, 1)


@given(SCHEDULES, st.data())
def test_every_wrong_character_is_found(schedule: Schedule, data: st.DataObject) -> None:
    """A token with one character changed is refused, and the text says to copy it whole."""
    token = schedule.token()
    place = data.draw(st.integers(len(PREFIX), len(token) - 1))
    other = data.draw(st.sampled_from([char for char in ALPHABET if char != token[place]]))
    text = refused(token[:place] + other + token[place + 1 :])
    assert "damaged" in text
    assert "copy the whole token from the failure message" in text


@given(SCHEDULES, st.data())
def test_a_cut_token_is_found(schedule: Schedule, data: st.DataObject) -> None:
    """A token whose end is missing is refused."""
    token = schedule.token()
    assert "copy the whole token" in refused(token[: data.draw(st.integers(0, len(token) - 1))])


def test_white_space_pasted_along_does_not_count() -> None:
    """A token with blanks or a line end around it is the token."""
    schedule = Schedule("asyncio", 7, "01020304")
    assert Schedule.parse(f"  {schedule.token()}\n") == schedule


@given(st.text(max_size=30))
def test_any_other_text_is_refused(text: str) -> None:
    """Text that is no token gives a `TokenError`, never another exception."""
    assert repr(text) in refused(text)
    assert repr(PREFIX + text) in refused(PREFIX + text)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "wt1-",
        "wt2-AAEBAAAAAAk1eQ",
        "WT1-AAEBAAAAAAk1eQ",
        " wt1-AAEBAAAAAAk1eQ",
        sealed(b"\x00\x01\x02\x03\x04"),
        sealed(b"\x09\x01\x02\x03\x04\x07"),
        sealed(b"\x00\x01\x02\x03\x04\x87"),
        sealed(b"\x00\x01\x02\x03\x04\x87\x00"),
        sealed(b"\x00\x01\x02\x03\x04\x07\x07"),
        sealed(b"\x80\x01\x02\x03\x04\x07"),
        sealed(b"\x80\x01\x02\x03\x04\x07\x05\x0b\x00\x00\x00\x00"),
        sealed(b"\x80\x01\x02\x03\x04\x07\x09\x0b\x00\x00\x00\x00\x00\x00\x00\x01\x01\x02"),
        sealed(b"\x80\x01\x02\x03\x04\x07\x05\x0b\x00\x00\x00\x00\x00\x00\x00\x01\x01"),
        sealed(b"\x80\x01\x02\x03\x04\x07\x05\x0b\x00\x00\x00\x00\x00\x00\x00"),
        Schedule("asyncio", 7, "01020304").token() + "=",
        Schedule("asyncio", 7, "01020304").token() + "é",
    ],
)
def test_what_was_never_printed_is_refused(token: str) -> None:
    """Another version, an unknown backend, a seed without end or in long form, text around the token."""
    assert "copy the whole token from the failure message" in refused(token)


def test_another_version_is_named() -> None:
    """A token of another version is told what tokens of this one start with."""
    assert "'wt1-'" in refused("wt2-AAEBAAAAAAk1eQ")


def test_a_token_of_another_run_is_refused() -> None:
    """A token is held against the backend and the scenario of the run it is passed to."""
    schedule = Schedule("trio", 3, "01020304")
    assert schedule.matching(backend="trio", digest="01020304") is schedule
    with pytest.raises(TokenError, match=r"made on trio, and this run is on asyncio.*backend='trio'"):
        schedule.matching(backend="asyncio", digest="01020304")
    with pytest.raises(TokenError, match="another scenario"):
        schedule.matching(backend="trio", digest="ffffffff")


def test_a_token_of_another_program_or_python_is_refused() -> None:
    """Where the order was chosen, program and Python must be those it was chosen on."""
    chosen = Schedule("trio", 3, "01020304", deviations=(Deviation(1, 1, 2),), program=77)
    assert chosen.matching(backend="trio", digest="01020304", program=77) is chosen
    with pytest.raises(
        TokenError, match=r"the program or its workload has changed.*search again without the token"
    ):
        chosen.matching(backend="trio", digest="01020304", program=78)
    older = replace(chosen, python=9)
    told = rf"made on Python 3\.9, and this is 3\.{sys.version_info.minor}: .* repeat it there"
    with pytest.raises(TokenError, match=told):
        older.matching(backend="trio", digest="01020304", program=77)


def test_a_plain_token_outlives_the_program() -> None:
    """FIFO order means the same in every program and on every Python."""
    plain = Schedule("trio", 3, "01020304", python=9)
    assert plain.matching(backend="trio", digest="01020304", program=78) is plain
