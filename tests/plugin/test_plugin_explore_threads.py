"""Explored tests that are plain functions, methods of unittest, and the marker that interrupts."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

RACE = """
    import threading
    import wavetank

    @wavetank.explore(schedules=100)
    def test_update(tank):
        lock, total = threading.Lock(), [0]

        def add():
            with lock:
                seen = total[0]
            with lock:
                total[0] = seen + 1

        threads = [threading.Thread(target=add) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert total == [2]
"""

CASES = """
    import unittest
    import anyio
    import wavetank

    class TestRows(unittest.TestCase):
        def setUp(self):
            self.rows = ["row-1"]

        @wavetank.explore(schedules=20)
        def test_plain(self, tank):
            assert self.rows == ["row-1"]
            assert not tank.randomly(0.5), "plain"

        @wavetank.explore(schedules=20)
        async def test_awaited(self, tank):
            await anyio.sleep(1)
            assert not tank.randomly(0.5), anyio.get_current_task().name and tank.events.header.backend

    class TestLoop(unittest.IsolatedAsyncioTestCase):
        @wavetank.explore(schedules=20)
        async def test_passes(self, tank):
            await anyio.sleep(1)
"""

CUT = """
    import time
    import pytest
    import wavetank

    KEPT = []

    def resume(tank):
        tank.ledger.submit("row")
        if not KEPT:
            KEPT.append(tank.now())
            time.sleep(1)
        tank.ledger.complete("row", "done")

    {mark}
    @wavetank.explore(schedules=20{given})
    def test_cut(tank):
        KEPT.clear()
        tank.watch("open", lambda: opened[0])
        opened = [0]
        opened[0] = 1
        resume(tank)
        opened[0] = 0
"""


def token_of(result: pytest.RunResult) -> str:
    found = re.search(r"--llm-replay=(wt1-\S+)", result.stdout.str())
    assert found is not None, result.stdout.str()
    return found[1]


def test_a_plain_function_is_one_test(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Its race is found, repeated from its token, and tried first in the next session."""
    pytester.makepyfile(test_race=RACE)
    result = run_pytest("-v", plugins=())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*error (AssertionError) in schedule * reachable with threads*"])
    assert "test_race.py::test_update FAILED" in result.stdout.str()
    again = run_pytest("test_race.py::test_update", f"--llm-replay={token_of(result)}", plugins=())
    again.stdout.fnmatch_lines(["*repeated from its token*"])
    run_pytest(plugins=()).stdout.fnmatch_lines(["*in a schedule kept from an earlier run, reachable with*"])


def test_several_processes_find_the_same(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """The first failing schedule, and its token, do not depend on the number of processes."""
    rare = RACE.replace("range(2)", "range(1)").replace(
        "assert total == [2]", "assert sum(tank.randomly(0.4) for _ in range(5)) < 5"
    )
    pytester.makepyfile(test_race=rare)
    options = ("--llm-database=none", "--llm-schedules=400")
    tokens = [token_of(run_pytest(f"--llm-jobs={jobs}", *options, plugins=())) for jobs in (1, 2)]
    assert tokens[0] == tokens[1]


def test_a_plain_function_runs_on_no_backend(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Backends are refused for it, with both ways to write it."""
    pytester.makepyfile("import wavetank\n\n@wavetank.explore(backends='trio')\ndef test_it(tank): ...\n")
    run_pytest(plugins=()).stdout.fnmatch_lines(
        ["*TypeError: test_it is a plain function*async def test_it(tank)*"]
    )


def test_methods_of_unittest_are_explored(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """On one backend after the other, under pytest as under unittest itself."""
    pytester.makepyfile(test_cases=CASES)
    result = run_pytest("-v", plugins=())
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        ["*1 choice of the test*", "*to repeat it: pytest 'test_cases.py::TestRows::*"]
    )
    again = run_pytest("test_cases.py::TestRows::test_plain", f"--llm-replay={token_of(result)}", plugins=())
    assert again.ret != 0
    alone = subprocess.run(
        [sys.executable, "-m", "unittest", "test_cases"],
        cwd=pytester.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Ran 3 tests" in alone.stderr
    assert "FAILED (failures=2)" in alone.stderr
    assert "to repeat it: wavetank.simulate(test_plain, scenario='calm', schedule=" in alone.stderr


@pytest.mark.parametrize(
    ("mark", "given", "option"),
    [
        ("@pytest.mark.llm_interrupt", "", ""),
        ("", ", interrupt=True", ""),
        ("", "", "--llm-interrupt"),
    ],
    ids=["marker", "decorator", "option"],
)
def test_a_test_is_interrupted(
    pytester: pytest.Pytester, run_pytest: RunPytest, mark: str, given: str, option: str
) -> None:
    """By the marker, the decorator or the option; the line that repeats it has the option."""
    source = (
        CUT.format(mark=mark, given=given)
        .replace("lambda: opened[0])\n        opened = [0]", "lambda: opened[0])")
        .replace("tank.watch(", "opened = [0]\n        tank.watch(")
    )
    pytester.makepyfile(test_cut=source)
    words = [option] if option else []
    result = run_pytest(*words, plugins=())
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the program is interrupted; main waits at test_cut.py:*"])
    line = next(line for line in result.outlines if "to repeat it: pytest" in line)
    assert ("--llm-interrupt" in line) is bool(option)
    again = run_pytest("test_cut.py::test_cut", *words, f"--llm-replay={token_of(result)}", plugins=())
    again.stdout.fnmatch_lines(["*repeated from its token*"])
    if not option:
        return
    run_pytest("--llm-database=none", plugins=()).assert_outcomes(passed=1)


def test_the_marker_runs_it_again(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """With `after_interrupt` the sessions are judged together; anything else in the marker is refused."""
    body = CUT.format(mark="@pytest.mark.llm_interrupt({})", given="").partition("        tank.watch")[0]
    source = body + "        resume(tank)\n"
    pytester.makepyfile(test_cut=source.format("after_interrupt=resume"))
    result = run_pytest(plugins=())
    result.assert_outcomes(passed=1)
    cut = re.search(
        r"1 explored: 20 schedules, \d+ distinct, (\d+) of 20 interrupted, in ", result.stdout.str()
    )
    assert cut is not None
    assert 5 <= int(cut[1]) <= 15
    pytester.makepyfile(test_cut=source.format("resume, 3"))
    run_pytest(plugins=()).stdout.fnmatch_lines(["*llm_interrupt(*it takes one function, or nothing*"])
