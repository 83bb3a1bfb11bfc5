"""The plugin's options and markers: which scenario and seed a test runs under."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from wavetank.scenario import catalogue

RunPytest = Callable[..., pytest.RunResult]

DOCS = Path(__file__).parents[2] / "docs"

SEES = """
    def test_sees(tank):
        print("sees", tank.scenario.name, tank.events.header.seed)
"""
OWN = """
title = "Own"
[[wave]]
lasts = "1s"
"""


def collected(result: pytest.RunResult) -> list[str]:
    """The ids that `--collect-only -q` printed."""
    return [line for line in result.outlines if "::" in line]


def test_the_header_names_scenario_and_seed(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A chosen scenario and the seed stand in the header."""
    pytester.makepyfile(SEES)
    result = run_pytest("--llm-scenario=cascade", "--llm-seed=3")
    result.stdout.fnmatch_lines(["wavetank: scenario cascade, seed 3"])


def test_a_session_without_a_scenario_has_no_header(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A project that does not use the plugin sees neither its header nor its summary."""
    pytester.makepyfile("def test_plain(): pass")
    result = run_pytest()
    result.stdout.no_fnmatch_line("wavetank:*")
    result.stdout.no_fnmatch_line("=* wavetank =*")


def test_a_scenario_that_no_test_meets(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """With a scenario on the command line the summary says how many tests did not meet the fake."""
    pytester.makepyfile("def test_plain(): pass")
    result = run_pytest("--llm-scenario=cascade")
    result.stdout.fnmatch_lines(["*= wavetank =*", "0 tests met the fake, 1 did not"])


def test_an_explored_test_meets_the_fake(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """If its runs send requests, also in a search by several processes or from a token."""
    pytester.makepyfile("""
        import wavetank

        @wavetank.explore(schedules=30, backends=["asyncio"])
        async def test_asks(tank):
            await tank.fake_llm.call("row")

        @wavetank.explore(schedules=3, backends=["asyncio"])
        async def test_idle(tank):
            pass
    """)
    result = run_pytest("--llm-scenario=cascade", plugins=())
    result.stdout.fnmatch_lines(["*= wavetank =*", "1 test met the fake, 1 did not"])


def test_the_default_is_calm_with_seed_0(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """By default the scenario is calm and the seed is 0."""
    pytester.makepyfile(SEES)
    run_pytest("-s").stdout.fnmatch_lines(["*sees calm 0*"])


def test_one_scenario_leaves_ids_alone(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """With one scenario a test is called as without the plugin."""
    pytester.makepyfile(test_one=SEES)
    result = run_pytest("--llm-scenario=cascade", "--collect-only", "-q")
    assert collected(result) == ["test_one.py::test_sees"]


def test_several_scenarios_parametrise(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """With several scenarios each test runs once for each, or only those that ask for the fake."""
    pytester.makepyfile(test_two=SEES + "\n    def test_plain(): pass\n")
    chosen = ("--llm-scenario=cascade", "--llm-scenario=calm", "--collect-only", "-q")
    asking = ["test_two.py::test_sees[cascade]", "test_two.py::test_sees[calm]"]
    plain = ["test_two.py::test_plain[cascade]", "test_two.py::test_plain[calm]"]
    assert collected(run_pytest(*chosen)) == asking + plain
    result = run_pytest(*chosen, "-o", "llm_autouse=false")
    assert collected(result) == [*asking, "test_two.py::test_plain"]


def test_each_parameter_is_the_scenario_it_names(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test with the id [mixed] runs under mixed."""
    pytester.makepyfile(SEES)
    result = run_pytest("--llm-scenario=cascade", "--llm-scenario=mixed", "-s")
    result.stdout.fnmatch_lines(["*sees cascade 0*", "*sees mixed 0*"])


def test_all_means_the_whole_catalogue(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """`all` runs each test under every scenario of the catalogue."""
    pytester.makepyfile(test_all=SEES)
    result = run_pytest("--llm-scenario=all", "--collect-only", "-q")
    assert collected(result) == [f"test_all.py::test_sees[{name}]" for name in catalogue()]


def test_a_scenario_may_be_a_path(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A path to a .toml file is a scenario that is called after its file, in ids too."""
    pytester.makefile(".toml", own=OWN)
    pytester.makepyfile(test_path=SEES)
    run_pytest("--llm-scenario=own.toml", "-s").stdout.fnmatch_lines(["*sees own 0*"])
    several = run_pytest("--llm-scenario=./own.toml", "--llm-scenario=calm", "--collect-only", "-q")
    assert collected(several) == ["test_path.py::test_sees[own]", "test_path.py::test_sees[calm]"]


def test_the_ini_file_sets_scenario_and_seed(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Scenario and seed have ini twins, and the command line wins over them."""
    pytester.makepyfile(SEES)
    run = run_pytest
    pytester.makeini(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\nllm_scenario = cascade\nllm_seed = 5\n"
    )
    run("-s").stdout.fnmatch_lines(["*sees cascade 5*"])
    run("-s", "--llm-scenario=mixed", "--llm-seed=6").stdout.fnmatch_lines(["*sees mixed 6*"])


def test_a_marker_wins_over_the_command_line(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A marked test runs once, under the scenario of its marker, whatever the command line says."""
    pytester.makepyfile(
        test_marked="""
        import pytest

        @pytest.mark.llm_scenario("simultaneous", latency={"refusal": "1s"})
        def test_sees(tank):
            print("sees", tank.scenario.name, tank.scenario.latency.refusal.low)
        """
    )
    options = ("--llm-scenario=cascade", "--llm-scenario=calm")
    run_pytest(*options, "-s").stdout.fnmatch_lines(["*sees simultaneous 1s*"])
    assert collected(run_pytest(*options, "--collect-only", "-q")) == ["test_marked.py::test_sees"]


def test_the_closest_marker_wins(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A marker on a test wins over one on its module."""
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.llm_scenario("cascade")

        @pytest.mark.llm_scenario("mixed")
        def test_sees(tank):
            print("sees", tank.scenario.name)
        """
    )
    run_pytest("-s").stdout.fnmatch_lines(["*sees mixed*"])


def refused(result: pytest.RunResult) -> str:
    """The text of a usage error; the run must have ended with one."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    return result.stderr.str() + result.stdout.str()


def test_an_unknown_scenario_on_the_command_line_is_a_usage_error(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """A misspelt scenario ends the session before any test, and names the nearest one."""
    pytester.makepyfile(SEES)
    assert "did you mean 'cascade'?" in refused(run_pytest("--llm-scenario=cascad"))


def test_an_unknown_scenario_in_the_ini_file_is_a_usage_error(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """The same holds for the ini file."""
    pytester.makepyfile(SEES)
    run = run_pytest
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\nllm_scenario = cascad\n")
    assert "did you mean 'cascade'?" in refused(run())


def test_an_unknown_scenario_in_a_marker_is_a_usage_error(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """The same holds for a marker."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.llm_scenario("cascad")
        def test_sees(tank): pass
        """
    )
    assert "did you mean 'cascade'?" in refused(run_pytest())


def test_a_marker_without_a_scenario_is_a_usage_error(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """A marker that names no scenario says how to write it, and at which test it stands."""
    pytester.makepyfile(
        test_bare="""
        import pytest

        @pytest.mark.llm_scenario
        def test_sees(tank): pass
        """
    )
    text = refused(run_pytest())
    assert "test_bare.py::test_sees" in text
    assert '@pytest.mark.llm_scenario("cascade")' in text


@pytest.mark.parametrize("seed", ["-1", "one", "1.5", str(1 << 64)])
def test_a_bad_seed_is_a_usage_error(pytester: pytest.Pytester, run_pytest: RunPytest, seed: str) -> None:
    """A seed that is no whole number of 64 bits ends the session with its value and the right range."""
    pytester.makepyfile(SEES)
    text = refused(run_pytest(f"--llm-seed={seed}"))
    assert f"--llm-seed={seed}: a seed is a whole number from 0 to 2**64 - 1" in text


def test_a_wrong_scenario_file_is_a_usage_error(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """An error in a scenario file names the file and the key."""
    pytester.makefile(".toml", own='[[wave]]\nlast = "1s"\n')
    pytester.makepyfile(SEES)
    text = refused(run_pytest("--llm-scenario=own.toml"))
    assert "own.toml: [[wave]] number 1, last: unknown key; did you mean 'lasts'?" in text


def test_an_own_fixture_of_the_same_name_is_not_touched(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """A project with its own `fake_llm` keeps it; without autouse: real time, no dummy keys, no new ids."""
    pytester.makepyfile(
        test_own="""
        import os, time
        import pytest

        REAL_SLEEP = time.sleep

        @pytest.fixture
        def fake_llm():
            return "ours"

        def test_own(fake_llm):
            assert fake_llm == "ours"
            assert time.sleep is REAL_SLEEP
            assert time.time() > 1_767_225_600 + 3600
            assert os.environ.get("OPENAI_API_KEY") != "sk-wavetank"
        """
    )
    result = run_pytest("--llm-scenario=cascade", "--llm-scenario=calm", "-v", "-o", "llm_autouse=false")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["test_own.py::test_own PASSED*", "0 tests met the fake, 1 did not"])
    result.stdout.no_fnmatch_line("test_own.py::test_own:*")


def test_the_long_names_stay_beside_an_own_fixture(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Where `tank` is taken, ours is still there as `wavetank_tank`."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def tank(wavetank_tank):
            return ("own", wavetank_tank.scenario.name)

        def test_both(tank):
            assert tank == ("own", "calm")
        """
    )
    run_pytest().assert_outcomes(passed=1)


def test_the_plugin_can_be_left_out(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """With `-p no:wavetank` neither the options nor the fixtures are there."""
    pytester.makepyfile(SEES)
    run_pytest("-p", "no:wavetank", plugins=None).stdout.fnmatch_lines(["*fixture 'tank' not found*"])
    refused(run_pytest("-p", "no:wavetank", "--llm-scenario=calm", plugins=None))


def documented(pattern: str) -> set[str]:
    """What the tables of the plugin's page list."""
    page = (DOCS / "pytest.md").read_text("utf-8")
    return set(re.findall(pattern, page, flags=re.MULTILINE))


def test_the_page_lists_every_option_and_marker(run_pytest: RunPytest) -> None:
    """The page has the options and markers that pytest knows: none missing, none made up."""
    options = set(re.findall(r"^  (--llm-[a-z-]+)", run_pytest("--help").stdout.str(), flags=re.MULTILINE))
    assert options == documented(r"^\| `(--llm-[a-z-]+)")
    markers = run_pytest("--markers").stdout.str()
    assert set(re.findall(r"^@pytest\.mark\.(llm_\w+)", markers, flags=re.MULTILINE)) == documented(
        r"^\| `(llm_\w+)\("
    )
