"""The summary is quiet: totals, and lines for the tests that need a look; `-v` shows all."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

TESTS = """
import unittest
import httpx2
import openai
import pytest
import wavetank

def ask(**options):
    message = {"role": "user", "content": "row-1"}
    return openai.OpenAI(**options).chat.completions.create(model="m", messages=[message])

def test_good(tank):
    ask(max_retries=9)

def test_loses(tank):
    tank.ledger.submit("row-1")
    ask(max_retries=9)

def test_idle(fake_llm):
    pass

def test_elsewhere(fake_llm):
    with pytest.raises(Exception):
        httpx2.post("https://telemetry.example.com/v1/events")
    ask(max_retries=9)

class TestUnit(unittest.TestCase):
    def test_unit(self):
        ask(max_retries=9)

@wavetank.explore("calm", schedules=2, backends="asyncio")
async def test_explored(tank):
    pass
"""


def lines_of(result: pytest.RunResult, test: str) -> list[str]:
    """What the summary says of a test, without its id."""
    lines = result.outlines
    start = next(number for number, line in enumerate(lines) if re.fullmatch("=+ wavetank =+", line))
    named = f"test_it.py::{test}: "
    return [line.removeprefix(named) for line in lines[start:] if line.startswith(named)]


def test_only_tests_that_need_a_look_have_lines(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Those that failed, met nothing, or wanted another host, also where an SDK hid its name."""
    pytester.makepyfile(test_it=TESTS)
    (pytester.path / "busy.toml").write_text('title = "Busy"\n[[wave]]\nlasts = "2s"\n')
    options = ("--llm-scenario=busy.toml", "--llm-report=on")
    quiet = run_pytest(*options)
    quiet.assert_outcomes(passed=5, failed=1)
    assert lines_of(quiet, "test_good") == []
    assert lines_of(quiet, "test_explored[asyncio]") == []
    failed, log = lines_of(quiet, "test_loses")
    assert re.match(r"failed by exactly_once in busy: \d requests, \d refused; items: 1 submitted", failed)
    assert log.startswith("event log in llm-report")
    assert any(line.endswith("the result says nothing about that") for line in lines_of(quiet, "test_idle"))
    assert lines_of(quiet, "test_elsewhere") == [
        "wanted telemetry.example.com, which the fake does not answer for; nothing was sent"
    ]
    quiet.stdout.fnmatch_lines(
        [
            "event logs and timelines of 4 passed tests were written; -v names them",
            "1 explored test kept to the scenario *",
        ]
    )
    full = run_pytest(*options, "-v")
    good, log = lines_of(full, "test_good")
    assert good.startswith("passed in busy: ")
    assert log.startswith("event log in llm-report")
    searched, kept = lines_of(full, "test_explored[asyncio]")
    assert searched.startswith("passed in calm: 2 schedules")  # and why in one process, under coverage
    assert kept == "kept to calm, which the test itself names"


HASTY = """
import asyncio
import pytest
import wavetank


async def ask(tank):
    tank.ledger.submit("row")
    while True:
        try:
            answer = await tank.fake_llm.call("row", item="row")
        except wavetank.ProviderError:
            await asyncio.sleep(1)
        else:
            return tank.ledger.complete("row", answer.text)


@pytest.mark.parametrize("number", range({many}))
def test_hasty(tank, number):
    asyncio.run(ask(tank))


@pytest.mark.llm_checks("+retry_after")
def test_judged(tank):
    asyncio.run(ask(tank))


@pytest.mark.llm_scenario("calm")
def test_calm(tank):
    asyncio.run(ask(tank))


@wavetank.explore(schedules=3, backends=["asyncio"])
async def test_explored(tank):
    await ask(tank)
"""


def test_what_is_not_counted_has_a_line(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A green run does not hide that Retry-After was ignored; a check that has judged is not repeated."""
    pytester.makepyfile(test_it=HASTY.format(many=12))
    options = ("--llm-scenario=second-wave", "-p", "no:xdist")
    quiet = run_pytest(*options)
    quiet.assert_outcomes(passed=14, failed=1)
    (line,) = lines_of(quiet, "test_hasty[0]")
    assert line.startswith("also seen, and not counted: retry_after: item 'row' asked again 1s too early")
    assert line.endswith("; and shared_pause, no_storm")
    assert lines_of(quiet, "test_explored[asyncio]") == [line]
    assert lines_of(quiet, "test_hasty[11]") == lines_of(quiet, "test_calm") == []
    quiet.stdout.fnmatch_lines(["also seen, and not counted, in 3 more tests; -v names them"])
    result = run_pytest(*options, "-v")
    judged = [line for line in lines_of(result, "test_judged") if line.startswith("also seen")]
    assert [line.split(": ")[1] for line in judged] == ["shared_pause", "no_storm"]
    full = lines_of(result, "test_hasty[11]")
    assert [line.split(": ")[1] for line in full[1:]] == ["retry_after", "shared_pause", "no_storm"]


def test_a_test_case_plays_every_scenario(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A method of unittest that takes a fixture has a node for each scenario, as functions have."""
    pytester.makepyfile(
        """
        import unittest
        import pytest

        seen = []

        class TestCase(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def _tank(self, tank):
                self.tank = tank

            def test_one(self):
                seen.append(self.tank.scenario.name)

            @pytest.mark.llm_scenario("overloaded")
            def test_marked(self):
                assert self.tank.scenario.name == "overloaded"

        def test_last():
            assert seen == ["calm", "cascade"]
        """
    )
    ini = pytester.path / "pytest.ini"
    for given in (("--llm-scenario=calm", "--llm-scenario=cascade"), ()):
        ini.write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
        if not given:
            ini.write_text(f"{ini.read_text()}llm_scenario = calm cascade\n")
        result = run_pytest("-k", "TestCase or (test_last and not cascade)", "-v", *given)
        result.assert_outcomes(passed=4)
        result.stdout.fnmatch_lines_random(
            ["*test_one?calm? PASSED*", "*test_one?cascade? PASSED*", "*test_marked PASSED*"]
        )


SEARCHED = """
import pytest
import wavetank

@wavetank.explore("calm", schedules=20, backends="asyncio", interrupt=True)
async def test_interrupted(tank):
    await tank.fake_llm.call("row", item="row")

@wavetank.explore("calm", schedules=20, backends="asyncio")
async def test_fails(tank):
    assert not sum(tank.randomly(0.5) for _ in range(3))

def test_fails_early(fake_llm):
    raise ValueError
"""


def test_the_line_on_searches_says_what_it_counts(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """The runs that shrink a failure are in the seconds, and not every search may interrupt."""
    pytester.makepyfile(test_it=SEARCHED)
    result = run_pytest("--llm-database=none")
    result.assert_outcomes(passed=1, failed=2)
    found = re.search(
        r"2 explored: \d+ schedules, \d+ distinct, (\d+) interrupted of the 20 that may be, "
        r"and (\d+) runs to repeat and shrink failures, in \d+\.\d\d s \(\d+ runs/s\)",
        result.stdout.str(),
    )
    assert found is not None, result.stdout.str()
    assert int(found[1])
    assert int(found[2]) > 1
    assert lines_of(result, "test_fails_early")[1:] == ["no request reached the fake before the test failed"]


@pytest.mark.parametrize("scenario", ["calm", "cascade"])
def test_tests_that_meet_nothing_are_named_up_to_ten(
    scenario: str, pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """The others are counted, unless they failed or wanted a host that the fake does not answer for."""
    pytester.makepyfile(
        test_it="""
            import httpx
            import pytest

            @pytest.mark.parametrize("number", range(15))
            def test_idle(fake_llm, number):
                assert number != 12
                if number == 13:
                    with pytest.raises(Exception):
                        httpx.get("https://api.unknown.example/v1")
                if number == 14:
                    pytest.xfail("for a reason")
        """
    )
    options = (f"--llm-scenario={scenario}", "--llm-checks=liveness")
    result = run_pytest(*options)
    result.assert_outcomes(passed=13, failed=1, xfailed=1)
    named = re.findall(r"test_idle\[(\d+)\]: (?:no request reached|in cascade)", result.stdout.str())
    assert sorted(map(int, named)) == [*range(10), 12, 13]
    result.stdout.fnmatch_lines(
        ["no request of 3 more tests reached the fake, or none met a wave or fault; -v names them"]
    )
    assert "test_idle[11]" not in result.stdout.str()
    assert "more test" not in run_pytest(*options, "-v").stdout.str()
