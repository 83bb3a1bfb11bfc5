"""A test that sets the date itself keeps it, and nothing of that is left to the next one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
import time_machine
from freezegun import freeze_time

import wavetank
from wavetank.tank.fake_llm import FakeLLM

DATE = datetime(2027, 3, 1, tzinfo=UTC)

LAZY = ["cohere", "langchain_core", "mistralai", "numpy", "openrouter"]
"""What loads its parts at first use: where another test has imported it, freezegun, which looks at all names
of all modules, would load those parts with the date frozen; they take seconds, or fail."""

LARGE = [
    "anthropic",
    "botocore",
    "google",
    "groq",
    "huggingface_hub",
    "litellm",
    "openai",
    "pydantic_ai",
    "together",
]
"""Nothing here calls them, and to look at all their names takes a second."""

LEFT_OUT = [*LAZY, *LARGE]

frozen_date = partial(freeze_time, DATE, ignore=LEFT_OUT)


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
    """No time machine is active any more."""
    assert time.time() > datetime(2026, 6, 1, tzinfo=UTC).timestamp()


# -- freezegun -------------------------------------------------------------------------------------------


def five_seconds_frozen(tank: wavetank.Tank) -> None:
    """freezegun lets `time.monotonic` stand still, too."""
    before = tank.now()
    time.sleep(5)
    assert datetime.fromtimestamp(time.time(), UTC) == DATE
    assert tank.now() == before + 5


@pytest.fixture
def frozen() -> Iterator[None]:
    with frozen_date():
        yield


@frozen_date()
def test_frozen_by_a_decorator(tank: wavetank.Tank) -> None:
    """The date stands still; waits take virtual time as ever."""
    five_seconds_frozen(tank)


def test_frozen_by_a_fixture_within_the_test(tank: wavetank.Tank, frozen: None) -> None:  # noqa: ARG001
    """It is made in the set-up of the test, and is still there in the test itself."""
    five_seconds_frozen(tank)


def test_frozen_by_a_fixture_before_the_fake(frozen: None, tank: wavetank.Tank) -> None:  # noqa: ARG001
    """The order of the fixtures does not matter."""
    five_seconds_frozen(tank)


def test_frozen_within_the_test(tank: wavetank.Tank) -> None:
    """Afterwards the test's own time goes on."""
    with frozen_date():
        five_seconds_frozen(tank)
    time.sleep(2)
    assert datetime.fromtimestamp(time.time(), UTC) == datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC)


async def answered(tank: wavetank.Tank) -> float:
    tank.ledger.submit("row 1")
    answer = await tank.fake_llm.call("x", item="row 1")
    tank.ledger.complete("row 1", answer.text)
    return time.time()


async def answered_frozen(tank: wavetank.Tank) -> float:
    with frozen_date():
        return await answered(tank)


AROUND: dict[str, Any] = {
    "freezegun": frozen_date(),
    "time-machine": time_machine.travel(DATE, tick=False),
}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("around", AROUND)
def test_a_search_under_a_date_that_is_set(around: str, backend: str) -> None:
    """Around a search and inside each of its runs."""
    with AROUND[around]:
        run = wavetank.simulate(answered, scenario="calm", backend=backend)
    run.check()
    assert run.value == DATE.timestamp()
    for program in (answered_frozen, answered):
        with AROUND[around]:
            found = wavetank.search(program, scenario="calm", schedules=3, backend=backend)
        assert found.failure is None


LOOPS = ("-o", "asyncio_default_fixture_loop_scope=function")
AUTOUSE = """
import time, pytest, time_machine
from datetime import UTC, datetime
from freezegun import freeze_time
DATE, LAZY = datetime(2027, 3, 1, tzinfo=UTC), {lazy}
@pytest.fixture(scope="session", autouse=True)
def date():
    with {around}:
        yield
def test_one(tank):
    time.sleep(5)
    assert (tank.now(), datetime.fromtimestamp(time.time(), UTC)) == (5, DATE)
@pytest.mark.anyio
async def test_two(tank, anyio_backend):
    answer = await tank.fake_llm.call("x")
    assert datetime.fromtimestamp(time.time(), UTC) == DATE
def test_plain():
    assert datetime.fromtimestamp(time.time(), UTC) == DATE
"""


@pytest.mark.parametrize(
    "around", ["freeze_time(DATE, ignore=LAZY)", "time_machine.travel(DATE, tick=False)"]
)
def test_a_date_that_is_set_for_the_session(pytester: pytest.Pytester, around: str) -> None:
    """Every test has it, one that meets the fake as well as one that does not."""
    pytester.makepyfile(AUTOUSE.replace("{around}", around).replace("{lazy}", repr(LEFT_OUT)))
    pytester.runpytest("-p", "no:cacheprovider", "--llm-scenario=calm", *LOOPS).assert_outcomes(passed=4)
    assert time.time() > datetime(2026, 6, 1, tzinfo=UTC).timestamp()
