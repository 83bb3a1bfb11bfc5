"""A test that sets the date itself keeps it, and nothing of that is left to the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import time_machine

from wavetank.tank.fake_llm import FakeLLM

DATE = datetime(2027, 3, 1, tzinfo=UTC)


@pytest.fixture
def travelled() -> Iterator[None]:
    with time_machine.travel(DATE, tick=False):
        yield


def five_seconds_at(date: datetime) -> None:
    time.sleep(5)
    assert datetime.fromtimestamp(time.time(), UTC) == date
    assert time.monotonic() == 5


@time_machine.travel(DATE, tick=False)
def test_by_a_decorator(fake_llm: FakeLLM) -> None:
    """Waits take virtual time as ever."""
    five_seconds_at(DATE)
    assert not fake_llm.requests


@pytest.mark.usefixtures("fake_llm", "travelled")
def test_by_a_fixture_within_the_test() -> None:
    """It is made in the set-up of the test, and is still there in the test itself."""
    five_seconds_at(DATE)


@pytest.mark.usefixtures("travelled", "fake_llm")
def test_by_a_fixture_before_the_fake() -> None:
    """The order of the fixtures does not matter."""
    five_seconds_at(DATE)


@pytest.mark.usefixtures("fake_llm")
def test_within_the_test() -> None:
    """Afterwards the test's own time goes on."""
    with time_machine.travel(0, tick=False):
        assert time.time() == 0
        time.sleep(3)
    five_seconds = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
    time.sleep(2)
    assert datetime.fromtimestamp(time.time(), UTC) == five_seconds


@pytest.mark.usefixtures("fake_llm")
def test_the_next_test_has_the_date_of_every_test() -> None:
    """And so has the one after it."""
    five_seconds_at(datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC))


def test_the_process_has_its_own_date_again() -> None:
    """Nobody travels any more."""
    assert time.time() > datetime(2026, 6, 1, tzinfo=UTC).timestamp()
