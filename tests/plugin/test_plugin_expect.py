"""What a test is held to without the tank: markers, options and ini keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest

PLACE = "test_a_test_has_checks_of_its_own.py"

INI = "[pytest]\nasyncio_default_fixture_loop_scope = function\n"

RunPytest = Callable[..., pytest.RunResult]

GIVES_UP = """
import openai
import pytest

def ask(number):
    client = openai.OpenAI(max_retries=0)
    try:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": str(number)}])
    except openai.OpenAIError as error:
        return error
"""


def test_a_marker_declares_what_a_test_without_the_tank_must_hold_to(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """The closest of several wins, and others stay in force."""
    pytester.makepyfile(
        GIVES_UP
        + """
pytestmark = [pytest.mark.llm_expect(refused=0, tokens=9000), pytest.mark.llm_scenario("overloaded")]

def test_refused(fake_llm):
    ask(1)

@pytest.mark.llm_expect(refused=1)
def test_once(fake_llm):
    ask(1)

@pytest.mark.llm_expect(refused=5, tokens=0)
def test_nothing_is_charged(fake_llm):
    ask(1)
"""
    )
    result = run_pytest()
    result.assert_outcomes(failed=1, passed=2)
    result.stdout.fnmatch_lines(["*outcomes failed: 1 request(s) were refused (declared: at most 0)*"])


def test_the_ini_file_holds_every_test_to_it(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Those with the tank, without it, and explored; what happened to the items is in the summary."""
    pytester.makepyfile(
        GIVES_UP
        + """
import wavetank

def test_with_tank(tank):
    tank.ledger.submit("1")
    tank.ledger.fail("1", ask(1))

def test_without(fake_llm):
    ask(1)

@wavetank.explore(schedules=1, backends="asyncio")
async def test_explored(tank):
    tank.ledger.submit("1")
    tank.ledger.fail("1", "no")
"""
    )
    ini = f"{INI}llm_expect =\n    failed = 0\n    within = 10m\n"
    (pytester.path / "pytest.ini").write_text(ini)
    result = run_pytest("--llm-scenario=overloaded")
    result.assert_outcomes(failed=2, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*outcomes failed: 1 item(s) failed (declared: at most 0)*",
            "items: 1 submitted, 0 completed, 1 failed (1 InternalServerError)",
        ]
    )


@pytest.mark.parametrize(
    ("ini", "marker", "expected"),
    [
        ("failed", "", "llm_expect: 'failed': write a name and a value, as in failed = 0"),
        ("faild = 0", "", "llm_expect: no check judges the expectation 'faild'; did you mean 'failed'?"),
        ("within = 10 min", "", "llm_expect: expect(within='10 min'): '10 min' is not a duration*"),
        (
            "",
            "llm_expect(compleded=3)",
            "*test_it: llm_expect: no check*'compleded'; did you mean 'completed'?*",
        ),
        ("", "llm_expect(3)", "*test_it: llm_expect(3): it takes names and values: *"),
        ("", "llm_max_virtual_seconds('10m')", "*test_it: llm_max_virtual_seconds('10m'): the budget*"),
        (
            "",
            "llm_checks('no_strom')",
            "*test_it: llm_checks('no_strom'): there is no check 'no_strom'; did you mean 'no_storm'?*",
        ),
    ],
)
def test_a_wrong_word_names_its_place(
    pytester: pytest.Pytester, run_pytest: RunPytest, ini: str, marker: str, expected: str
) -> None:
    """The ini key, or the test and its marker; and a near match."""
    marked = f"@pytest.mark.{marker}\n" if marker else ""
    pytester.makepyfile(f"import pytest\n{marked}def test_it(tank): pass\n")
    if ini:
        (pytester.path / "pytest.ini").write_text(f"{INI}llm_expect =\n    {ini}\n")
    result = run_pytest()
    (result.stderr if ini else result.stdout).fnmatch_lines([f"*{expected}*"])


def test_a_budget_of_virtual_time_ends_a_test(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """By marker, option, ini key, or the tank; the marker wins over the option."""
    pytester.makepyfile(
        """
        import time
        import pytest
        import wavetank

        def test_waits(fake_llm):
            time.sleep(400)

        @pytest.mark.llm_max_virtual_seconds(500)
        def test_marked(fake_llm):
            time.sleep(400)

        def test_sets_it(tank):
            assert tank.max_virtual_seconds in (300, 86400)
            tank.max_virtual_seconds = 450
            time.sleep(400)

        @wavetank.explore(schedules=2, backends="asyncio")
        async def test_explored(tank):
            import anyio
            await anyio.sleep(400)
        """
    )
    run_pytest().assert_outcomes(passed=4)
    result = run_pytest("--llm-max-virtual-seconds=300")
    result.assert_outcomes(failed=2, passed=2)
    result.stdout.fnmatch_lines(["*liveness failed: overrun*", "*liveness failed: overrun*"])
    assert run_pytest("--llm-max-virtual-seconds=soon").ret == pytest.ExitCode.USAGE_ERROR
    assert run_pytest("--llm-max-cpu-seconds=-1").ret == pytest.ExitCode.USAGE_ERROR
    (pytester.path / "pytest.ini").write_text(f"{INI}llm_max_virtual_seconds = 300\n")
    run_pytest().assert_outcomes(failed=2, passed=2)


def test_a_test_has_checks_of_its_own(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """In the marker beside names, added to the tank, and invariants; hosted tests are watched, too."""
    pytester.makepyfile(
        """
        import asyncio
        import threading
        import time

        import pytest
        import wavetank

        def quiet(log):
            return wavetank.Verdict("quiet", not log.of("arrived"), "requests came")

        @pytest.mark.llm_checks(quiet, "liveness")
        @pytest.mark.asyncio
        async def test_marked(fake_llm):
            await fake_llm.call("hi")

        @pytest.mark.asyncio
        async def test_added(tank):
            tank.add_check(quiet)
            await tank.fake_llm.call("hi")

        @pytest.mark.asyncio
        async def test_invariant(tank):
            books = [5, 5]
            tank.always(lambda: sum(books) == 10, name="conserved")
            books[0] -= 1
            await asyncio.sleep(1)
            books[1] += 1

        def test_threads(tank):
            books = [5, 5]
            tank.always(lambda: sum(books) == 10, name="in threads")

            def work():
                books[0] -= 1
                time.sleep(1)
                books[1] += 1

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

        def test_sync(tank):
            held = [True]
            tank.always(lambda: held[0], name="in sync code")
            held[0] = False
            time.sleep(1)
            held[0] = True

        @pytest.mark.llm_checks(lambda log: None)
        def test_none(tank):
            pass
        """
    )
    result = run_pytest("--llm-checks=+no_storm,-right_answer", "--asyncio-mode=strict", plugins=["asyncio"])
    result.assert_outcomes(failed=6)
    result.stdout.fnmatch_lines(
        [
            "*quiet failed: requests came*",
            "*quiet failed: requests came*",
            f"*always failed: 'conserved' did not hold at 0s, after a step of *{PLACE}:26*",
            f"*always failed: 'in threads' did not hold at 0s, after a step of *{PLACE}:35*",
            f"*always failed: 'in sync code' did not hold at 0s, after a step of 'main'*{PLACE}:46*",
            f"*the check '<lambda>' ({PLACE}:49) returned None: return wavetank.Verdict*",
        ]
    )
