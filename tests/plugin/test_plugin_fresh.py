"""Under continuous integration a failing schedule is repeated in a fresh process, too."""

from __future__ import annotations

import pytest

# The fresh process must load the same plugins, and it gets what the ini file says.
INI = """
    [pytest]
    addopts = -p wavetank
"""
LOSES = """
    import wavetank

    @wavetank.explore("calm", schedules=3, backends="asyncio")
    async def test_it_loses(tank):
        tank.ledger.submit("a")
"""
BY_HASH = """
    import os

    import wavetank

    @wavetank.explore("calm", schedules=3, backends="asyncio")
    async def test_it_loses(tank):
        for item in ("a", "b") if os.environ.get("PYTHONHASHSEED") == "1" else ("b", "a"):
            tank.ledger.submit(item)
            await tank.fake_llm.call("x", item=item)
"""


@pytest.fixture(autouse=True)
def no_other_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    """To load all that are installed takes two seconds in each process."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def test_a_fresh_process_repeats_it(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report says that the schedule was repeated under another hash seed."""
    monkeypatch.setenv("CI", "true")
    pytester.makeini(INI)
    pytester.makepyfile(LOSES)
    result = pytester.runpytest_subprocess()
    result.stdout.fnmatch_lines(["a fresh process under another hash seed repeats it"])


def test_a_program_that_hangs_on_the_process_is_reported(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes another course in the fresh process is said not to repeat, with what it printed."""
    monkeypatch.setenv("CI", "1")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    pytester.makeini(INI)
    pytester.makepyfile(BY_HASH)
    result = pytester.runpytest_subprocess()
    result.stdout.fnmatch_lines(
        ["a fresh process under another hash seed does not repeat it (look for the order of a set*"]
    )


@pytest.mark.parametrize("variable", [None, "", "0", "false"])
def test_elsewhere_it_is_not(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, variable: str | None
) -> None:
    """Without the variable no process is started."""
    if variable is not None:
        monkeypatch.setenv("CI", variable)
    pytester.makeini(INI)
    pytester.makepyfile(LOSES)
    result = pytester.runpytest_inprocess()
    assert "fresh process" not in result.stdout.str()
