"""When the plugin judges a test, what it reports, and that it leaves nothing behind."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

LOSES = """
    def test_loses(tank):
        tank.ledger.submit("row-1")
"""

LOSES_IN_QUOTES = """
import pytest

@pytest.mark.parametrize("who", ["it's"])
def test_loses(tank, who):
    tank.ledger.submit("row-1")
"""


def test_a_lost_item_fails_the_test(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """`tank` is judged at the end: the test counts as failed, not as an error, and names the item."""
    pytester.makepyfile(LOSES)
    result = run_pytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["exactly_once failed: item 'row-1' was lost*"])


def test_an_expected_failure_can_name_the_error(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """`xfail(raises=CheckFailed, strict=True)` holds for a test that only its verdict fails."""
    pytester.makepyfile(
        """
        import pytest
        import wavetank

        @pytest.mark.xfail(raises=wavetank.CheckFailed, strict=True)
        def test_loses(tank):
            tank.ledger.submit("row-1")
        """
    )
    run_pytest().assert_outcomes(xfailed=1)


def replayed(result: pytest.RunResult, run_pytest: RunPytest) -> pytest.RunResult:
    """The run of the line that a failure gave to repeat it."""
    found = re.search(r"to repeat it: pytest ('.+' --llm-scenario=.+ --llm-replay=\S+)", result.stdout.str())
    assert found is not None, "the failure has no line that repeats it"
    return run_pytest(*shlex.split(found[1]))


def test_the_replay_line_repeats_the_failure(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Run as it stands, the line finds the test and fails again under the same scenario and seed."""
    pytester.makepyfile(LOSES)
    again = replayed(run_pytest("--llm-scenario=cascade", "--llm-seed=4"), run_pytest)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["wavetank: scenario cascade, *", "*item 'row-1' was lost*"])


def test_the_replay_line_is_for_the_shell_that_ran_pytest(
    pytester: pytest.Pytester, run_pytest: RunPytest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds below the root folder, with blanks in the scenario's path and quotes in the test's id."""
    below = pytester.mkdir("below")
    (below / "my own.toml").write_text('title = "Mine"\n', encoding="utf-8")
    (below / "test_below.py").write_text(LOSES_IN_QUOTES, encoding="utf-8")
    monkeypatch.chdir(below)
    again = replayed(run_pytest("--llm-scenario=./my own.toml"), run_pytest)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["*item 'row-1' was lost*"])


def test_the_replay_line_of_one_of_several_scenarios(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """The line finds the test also where its id ends in the name of a scenario."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        def test_loses(tank, number):
            if tank.scenario.name == "mixed" and number == 2:
                tank.ledger.submit("row-1")
        """
    )
    first = run_pytest("--llm-scenario=cascade", "--llm-scenario=mixed")
    first.assert_outcomes(failed=1, passed=3)
    again = replayed(first, run_pytest)
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["wavetank: scenario mixed, *", "*item 'row-1' was lost*"])


def test_fake_llm_alone_is_not_judged(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test with `fake_llm` may ask twice for one item: nothing is judged unless it says so."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        async def ask_twice(fake_llm):
            await fake_llm.call("Hello?", item="row-1")
            await fake_llm.call("Hello?", item="row-1")

        @pytest.mark.anyio
        async def test_free(fake_llm):
            await ask_twice(fake_llm)

        @pytest.mark.anyio
        async def test_checked(fake_llm):
            await ask_twice(fake_llm)
            fake_llm.check(exactly_once=["row-1"])
        """
    )
    result = run_pytest()
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*exactly_once failed: item 'row-1' was answered 2 times*"])


def test_a_test_that_checks_is_not_judged_again(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """After a check of its own a test with `tank` is left alone."""
    pytester.makepyfile(
        """
        def test_it(tank):
            tank.fake_llm.check()
            tank.ledger.submit("row-1")
        """
    )
    run_pytest().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "report", [(), ("--llm-report=on",), ("--llm-report=retain-on-failure",), ("--llm-report-json=r.json",)]
)
def test_a_broken_check_fails_its_test_alone(
    pytester: pytest.Pytester, run_pytest: RunPytest, report: tuple[str, ...]
) -> None:
    """Whatever report is written, the session goes on, and the error of a test that failed stays its own."""
    pytester.makepyfile(
        """
        import pytest

        def quick(log):
            return True

        def raises(log):
            return log.no_such_name

        @pytest.mark.llm_checks("default", quick)
        def test_quick(tank):
            pass

        @pytest.mark.llm_checks("default", raises)
        def test_raises(tank):
            pass

        @pytest.mark.llm_checks("default", raises)
        def test_itself(tank):
            assert 1 + 1 == 3

        def test_after(tank):
            pass
        """
    )
    result = run_pytest(*report)
    result.assert_outcomes(failed=3, passed=1)
    result.stdout.fnmatch_lines(
        [
            "E *TypeError: the check 'quick' (*) returned a bool: return wavetank.Verdict*",
            "E *AttributeError: *no_such_name*",
            "E *assert (1 + 1) == 3",
        ]
    )


def test_an_error_of_the_test_comes_first(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """When the test itself raises, that error is reported, with the line that repeats the test beside it."""
    pytester.makepyfile(
        """
        def test_it(tank):
            tank.ledger.submit("row-1")
            raise RuntimeError("the program broke")
        """
    )
    result = run_pytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *RuntimeError: the program broke", "to repeat it: pytest *"])


def test_a_hang_is_reported_at_once(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test that can never go on fails as a deadlock that shows what it waits for; the next one runs."""
    pytester.makepyfile(
        """
        import queue
        import anyio
        import pytest

        async def wait_for_good():
            answered = anyio.Event()
            await answered.wait()

        @pytest.mark.anyio
        async def test_task(fake_llm):
            async with anyio.create_task_group() as group:
                group.start_soon(wait_for_good, name="the-forgotten")

        def test_thread(fake_llm):
            queue.Queue().get()

        def test_next(fake_llm):
            pass
        """
    )
    result = run_pytest("-v")
    result.assert_outcomes(failed=3, passed=1)
    text = result.stdout.str()
    assert text.count("deadlock at 0s") >= 3
    assert "the-forgotten" in text
    assert re.search(r"at wait_for_good \(.*\)\s+waits in Event.wait on answered: Event", text)
    result.stdout.fnmatch_lines(["*::test_next PASSED*"])


COUNTS = """
    import anyio
    import pytest
    import wavetank

    pytestmark = [pytest.mark.anyio, pytest.mark.llm_scenario("overloaded")]

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    async def test_is_refused(fake_llm):
        with pytest.raises(wavetank.Overloaded):
            await fake_llm.call("Hello?", item="row-1")

    async def test_hangs_up(fake_llm):
        await anyio.sleep(6.5)
        with anyio.move_on_after(0.001):
            await fake_llm.call("Hello?", item="row-1")
        await fake_llm.call("Hello?", item="row-2")
        await anyio.sleep(3)
"""


def test_the_summary_counts_requests(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """The summary adds up the requests of all tests, those refused, and those that no client waited for."""
    pytester.makepyfile(COUNTS)
    result = run_pytest()
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["2 tests: 3 requests, 1 refused, 1 unanswered, 0 wasted"])


def test_the_summary_adds_up_the_workers_of_xdist(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """With two worker processes the numbers are the same as with none."""
    pytester.makepyfile(COUNTS)
    result = run_pytest("-n", "2", apart=True, plugins=["anyio", "xdist"])
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["2 tests: 3 requests, 1 refused, 1 unanswered, 0 wasted"])


def test_the_summary_reports_waves_that_met_no_request(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """A pass in which no wave refused anybody is named, with the waves."""
    pytester.makepyfile(
        test_vacuous="""
        def test_it(fake_llm):
            pass
        """
    )
    result = run_pytest("--llm-scenario=simultaneous")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["test_vacuous.py::test_it: in simultaneous, wave 1 met no request: *"])
    calm = run_pytest()
    calm.stdout.no_fnmatch_line("*met no request*")


def test_nothing_is_left_behind(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """After tests that fail, hang or leave threads, the process is as it was before them."""
    pytester.makepyfile(
        """
        import asyncio, os, socket, sys, threading, time
        from datetime import datetime
        import anyio
        import httpcore2
        import pytest
        import trio

        def borrowed():
            return [
                time.sleep, time.monotonic, time.perf_counter, sleep_by_name(),
                vars(socket.socket).get("connect"), socket.getaddrinfo, asyncio.Runner.__init__,
                threading.Lock, threading.RLock, threading.Thread.join,
                vars(httpcore2.ConnectionPool)["handle_request"], trio.lowlevel.start_guest_run,
                list(sys.meta_path), os.environ.get("OPENAI_API_KEY"),
            ]

        def sleep_by_name():
            return sleep

        from time import sleep

        BEFORE = borrowed()

        def test_fails(tank):
            assert borrowed() != BEFORE
            tank.ledger.submit("row-1")

        def test_raises(fake_llm):
            raise RuntimeError

        @pytest.mark.anyio
        async def test_hangs(fake_llm):
            await anyio.Event().wait()

        def test_leaves_a_thread(fake_llm):
            threading.Thread(target=threading.Event().wait, daemon=True).start()

        @pytest.fixture
        def broken(fake_llm):
            raise RuntimeError

        def test_errs(broken):
            pass

        def test_plain():
            assert borrowed() == BEFORE
            assert datetime.now().year > 2000
            assert abs(time.time() - time.clock_gettime(time.CLOCK_REALTIME)) < 100
            assert not [t for t in threading.enumerate() if t.name.startswith("Thread-")]

        @pytest.mark.anyio
        async def test_plain_async():
            started = time.monotonic()
            await anyio.sleep(0.001)
            assert 0 < time.monotonic() - started < 60
        """
    )
    result = run_pytest("-v", apart=True, plugins=None)
    result.assert_outcomes(passed=4, failed=4, errors=1)
    result.stdout.fnmatch_lines_random(["*::test_plain PASSED*", "*::test_plain_async?trio? PASSED*"])
