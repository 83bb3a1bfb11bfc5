"""A search that is under way: lines on a terminal, and a line when the session is interrupted."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

TEST = """
import asyncio

import wavetank

RUNS = {"passed": 0, "failed": 0}


def count(end):
    RUNS[end] += 1
    if RUNS[end] == STOPS.get(end):
        raise KeyboardInterrupt


@wavetank.explore("calm", schedules=12, backends=["asyncio"], jobs=1)
async def test_race(tank):
    went = []

    async def work(name):
        await asyncio.sleep(1)
        went.append(name)

    await asyncio.gather(*map(work, "abc"))
    count("passed" if went == ["a", "b", "c"] else "failed")
    assert went == ["a", "b", "c"]
"""

TERMINAL = """
import pytest


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    config.pluginmanager.get_plugin("terminalreporter").isatty = lambda: True
"""


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line for each run, not every ten seconds."""
    monkeypatch.setattr("wavetank.progress._LINE_EVERY", 0)


NODE = "test_it.py::test_race[asyncio]"


def interrupted(run_pytest: RunPytest, capsys: pytest.CaptureFixture[str]) -> str:
    """Run pytest up to the interruption; the line of the summary on the search."""
    with pytest.raises(KeyboardInterrupt):
        run_pytest()
    (line,) = (
        line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{NODE}: interrupted ")
    )
    return line.removeprefix(f"{NODE}: ")


def test_how_many_schedules_passed(
    pytester: pytest.Pytester, run_pytest: RunPytest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in a run of the program leaves the session without a report of the test."""
    pytester.makepyfile(test_it=f"{TEST}\n\nSTOPS = {{'passed': 1}}\n")
    assert interrupted(run_pytest, capsys) == "interrupted after 0 of 12 schedules, without a failure"


@pytest.mark.parametrize("runs", [2, 3])
def test_a_failure_that_is_not_shrunk_yet_can_be_repeated(
    runs: int, pytester: pytest.Pytester, run_pytest: RunPytest, capsys: pytest.CaptureFixture[str]
) -> None:
    """The token is that of the run as it was found, so it fails in the same way."""
    pytester.makepyfile(test_it=f"{TEST}\n\nSTOPS = {{'failed': {runs}}}\n")
    line = interrupted(run_pytest, capsys)
    found = re.fullmatch(
        r"interrupted while the failure of schedule (\d+) was shrunk; to repeat it as it was found: "
        rf"pytest '{re.escape(NODE)}' --llm-replay=(wt1-\S+)",
        line,
    )
    assert found is not None, line
    again = run_pytest(f"--llm-replay={found[2]}")
    again.assert_outcomes(failed=1)
    assert "the run took another course" not in again.stdout.str()
    assert "AssertionError: assert [" in again.stdout.str()


@pytest.mark.usefixtures("often")
def test_lines_on_a_terminal(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """So many schedules at a time, and the failure that is shrunk; once the test is over, nothing is left."""
    pytester.makepyfile(test_it=f"{TEST}\n\nSTOPS = {{}}\n")
    pytester.makeconftest(TERMINAL)
    result = run_pytest()
    result.assert_outcomes(failed=1)
    lines = [line for line in result.outlines if line.startswith("wavetank: test_race[asyncio]: ")]
    assert lines[0] == "wavetank: test_race[asyncio]: 1 of 12 schedules, none failed"
    assert re.fullmatch(r"wavetank: test_race\[asyncio\]: shrinking the failure of schedule \d+", lines[-1])
    assert "interrupted" not in result.stdout.str()


@pytest.mark.usefixtures("often")
def test_no_line_where_there_is_no_terminal(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """As in CI, however long it takes."""
    pytester.makepyfile(test_it=f"{TEST}\n\nSTOPS = {{}}\n")
    pytester.makeconftest(TERMINAL.replace("True", "False"))
    assert "schedules, none failed" not in run_pytest().stdout.str()
