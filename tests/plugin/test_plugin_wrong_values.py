"""A wrong value of an option, an ini key or a marker: the error names the place and the fix."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

MARKED = """
import pytest

@pytest.mark.llm_max_virtual_seconds("10m")
def test_unit(fake_llm): pass

@pytest.mark.llm_max_virtual_seconds(True)
def test_no_number(fake_llm): pass

@pytest.mark.llm_clock(mod="real")
def test_keyword(fake_llm): pass

@pytest.mark.llm_checks()
def test_empty(fake_llm): pass

@pytest.mark.llm_checks(checks="strict")
def test_no_keyword(fake_llm): pass

@pytest.mark.llm_checks("+no_storm", "retry_after")
def test_mixed(fake_llm): pass

@pytest.mark.llm_expect(5)
def test_no_name(fake_llm): pass
"""

SAID = (
    "test_unit: llm_max_virtual_seconds('10m'): the budget of virtual time is a number of seconds above 0",
    "test_no_number: llm_max_virtual_seconds(True): the budget of virtual time is a number of seconds",
    "test_keyword: llm_clock(mod='real'): choose from: virtual, real",
    "test_empty: llm_checks(): give names or callables",
    "test_no_keyword: llm_checks(checks='strict'): give names or callables",
    "test_mixed: llm_checks('+no_storm', 'retry_after'): 'retry_after' has no sign and '+no_storm' has one: "
    "write '+retry_after' to change the default checks, or 'no_storm' to name all checks yourself",
    "test_no_name: llm_expect(5): it takes names and values",
)


def test_wrong_markers_fail_their_tests(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Each is shown as it was written, after the id of its test."""
    pytester.makepyfile(MARKED)
    text = run_pytest().stdout.str()
    for line in SAID:
        assert line in text


def test_the_argument_of_a_marker_may_be_named(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """By the name that `pytest --markers` shows."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.llm_scenario(name="cascade", seed_of_nothing=1)
        def test_wrong(tank): pass
        """
    )
    assert "seed_of_nothing: unknown key" in run_pytest().stderr.str()
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.llm_scenario(name="cascade")
        @pytest.mark.llm_clock(mode="virtual")
        @pytest.mark.llm_max_virtual_seconds(seconds=600)
        def test_named(tank):
            assert tank.scenario.name == "cascade"
            assert tank.max_virtual_seconds == 600
        """
    )
    run_pytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--llm-checks=",), "--llm-checks= has no value: give one, or leave the option out"),
        (("--llm-schedules=",), "--llm-schedules= has no value: give one, or leave the option out"),
        (("--llm-checks=,",), "--llm-checks=,: no check is named. There are: liveness"),
        (
            ("--llm-checks=+no_storm,order",),
            "--llm-checks=+no_storm,order: 'order' has no sign and '+no_storm' has one: write '+order' to "
            "change the default checks, or 'no_storm' to name all checks yourself",
        ),
        (("-o", "llm_checks=no_strm"), "llm_checks = no_strm: there is no check 'no_strm'; did you mean"),
        (("-o", "llm_max_virtual_seconds=10m"), "llm_max_virtual_seconds = 10m: the budget of virtual time"),
        (("-o", "llm_seed=one"), "llm_seed = one: a seed is a whole number"),
        (("-o", "llm_clock=fast"), "llm_clock = fast: choose from: virtual, real"),
        (("-o", "llm_autouse=tru"), "nor a file or folder; did you mean 'true'? Write true, false"),
    ],
)
def test_wrong_options_end_the_session(
    pytester: pytest.Pytester, run_pytest: RunPytest, words: tuple[str, ...], said: str
) -> None:
    """With the place as it was written, on the command line or in the ini file."""
    pytester.makepyfile("def test_sees(fake_llm): pass")
    result = run_pytest(*words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in result.stderr.str()
