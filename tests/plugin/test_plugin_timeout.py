"""pytest-timeout ends a test that meets the fake, in real time, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

SPINS = """
import asyncio, signal, time, pytest
@pytest.mark.timeout(0.4, func_only=True)
def test_spins(fake_llm):
    time.sleep(3600)
    while True:
        pass
@pytest.mark.timeout(0.4, func_only=True)
def test_spins_in_a_loop(fake_llm):
    async def main():
        await asyncio.sleep(3600)
        while True:
            pass
    asyncio.run(main())
def test_next(fake_llm):
    time.sleep(3600)
    assert time.monotonic() == 3600
    assert asyncio.run(asyncio.sleep(1, "done")) == "done"
def test_plain():
    assert time.time() > 1_770_000_000
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
"""


def test_by_a_signal_the_next_tests_go_on(run_pytest: RunPytest, pytester: pytest.Pytester) -> None:
    """The clock of the timeout is real; the next test has its own virtual time, and a plain one none."""
    pytester.makepyfile(SPINS)
    result = run_pytest("--timeout-method=signal", plugins=["timeout"])
    result.assert_outcomes(failed=2, passed=2)
    assert str(result.stdout).count("\nE       Failed: Timeout (>0.4s) from pytest-timeout.") == 2


def test_by_a_thread_the_stacks_are_shown(run_pytest: RunPytest, pytester: pytest.Pytester) -> None:
    """The process ends at once, with the place where the test was."""
    pytester.makepyfile(SPINS)
    result = run_pytest(
        "--timeout-method=thread", "-k", "test_spins_in_a_loop", apart=True, plugins=["timeout"]
    )
    assert result.ret == 1
    text = result.stdout.str() + result.stderr.str()
    assert text.count("+ Timeout +") == 2
    assert "in test_spins_in_a_loop" in text


EARLY = """
def test_early(fake_llm):
    pass
def test_next(fake_llm, caplog):
    import time
    time.sleep(60)
    assert time.monotonic() == 60
"""


@pytest.mark.parametrize(
    "place", ["wavetank.tank.virtual_world.pauses_logged", "wavetank.tank.hosted_world.watched"]
)
def test_an_error_while_the_world_is_set_up(
    run_pytest: RunPytest, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """A timeout may strike there: the set-up fails, the teardown does not, and the next test has its time."""
    strikes = [1]
    module, _, name = place.rpartition(".")
    function = getattr(__import__(module, fromlist=[name]), name)

    def struck(*args: object, **options: object) -> object:
        if strikes:
            strikes.pop()
            pytest.fail("Timeout")
        return function(*args, **options)

    monkeypatch.setattr(place, struck)
    pytester.makepyfile(EARLY)
    result = run_pytest()
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(["ERROR *::test_early - Failed: Timeout"])
