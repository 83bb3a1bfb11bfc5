"""Every kind of test has virtual time, whichever plugin runs it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

RunPytest = Callable[..., pytest.RunResult]

ASYNC_BODY = """
    before = time.monotonic()
    answers = []
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(wait_and_ask, fake_llm, answers)
    assert 3600 < time.monotonic() - before < 3602
    assert len(answers) == 3
"""
ASYNC_HEAD = """
import time
import anyio
import pytest

async def wait_and_ask(fake_llm, answers):
    await anyio.sleep(3600)
    answers.append(await fake_llm.call("How long is a wave?"))
"""


def async_test(name: str, marker: str = "") -> str:
    """A module with one async test in which three tasks wait an hour side by side."""
    return f"{ASYNC_HEAD}\n{marker}\nasync def {name}(fake_llm):{ASYNC_BODY}"


def test_anyio_on_both_backends(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Tests under anyio have virtual time on asyncio and on trio."""
    pytester.makepyfile(async_test("test_it", "@pytest.mark.anyio"))
    result = run_pytest("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(
        ["*test_it?asyncio? PASSED*", "*test_it?trio? PASSED*", "2h*of virtual time*"]
    )


def test_pytest_asyncio_in_strict_mode(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A marked test under pytest-asyncio has virtual time."""
    pytester.makepyfile(async_test("test_it", "@pytest.mark.asyncio"))
    result = run_pytest("-o", "asyncio_mode=strict", plugins=["asyncio"])
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1h*of virtual time*"])


def test_pytest_asyncio_in_auto_mode(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test and an async fixture that pytest-asyncio picks up by itself share the test's virtual time."""
    pytester.makepyfile(
        """
        import asyncio, time
        import pytest

        @pytest.fixture
        async def waited():
            await asyncio.sleep(60)
            return time.monotonic()

        async def test_it(fake_llm, waited):
            await asyncio.sleep(3600)
            assert (waited, time.monotonic()) == (60, 3660)
        """
    )
    result = run_pytest("-o", "asyncio_mode=auto", plugins=["asyncio"])
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1h1m of virtual time*"])


def test_pytest_trio(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test under pytest-trio has virtual time."""
    pytester.makepyfile(async_test("test_it", "@pytest.mark.trio"))
    result = run_pytest(plugins=["trio"])
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1h*of virtual time*"])


def test_a_plain_function(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A plain test that sleeps or waits in threads has virtual time, also by a name it imported before."""
    pytester.makepyfile(
        """
        import asyncio, queue, threading
        from concurrent.futures import ThreadPoolExecutor
        from datetime import UTC, datetime
        from time import monotonic, sleep, time

        def test_sleep(fake_llm):
            sleep(3600)
            assert monotonic() == 3600
            assert time() == datetime(2026, 1, 1, 1, tzinfo=UTC).timestamp()
            assert datetime.now(UTC).hour == 1

        def test_threads_wait_side_by_side(fake_llm):
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(sleep, [3600] * 8))
            assert monotonic() == 3600

        def test_a_timeout_fires_in_virtual_time(fake_llm):
            assert not threading.Event().wait(3600)
            try:
                queue.Queue().get(timeout=3600)
            except queue.Empty:
                assert monotonic() == 7200

        def test_asyncio_run(fake_llm):
            asyncio.run(asyncio.sleep(3600))
            assert monotonic() == 3600
        """
    )
    result = run_pytest()
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["5h of virtual time*"])


def test_what_stays_real(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """CPU time stays real, and so do clocks bound before as a default argument or a class attribute."""
    pytester.makepyfile(
        """
        import time

        class Holder:
            clock = time.monotonic

        def bound(clock=time.monotonic):
            return clock()

        def bound_wall(clock=time.time):
            return clock()

        def test_it(fake_llm):
            cpu, held = time.process_time(), Holder.clock()
            time.sleep(50_000)
            assert time.process_time() - cpu < 1000
            assert Holder.clock() - held < 1000
            assert abs(bound() - time.clock_gettime(time.CLOCK_MONOTONIC)) < 1000
            assert bound_wall() == 1_767_225_600 + 50_000
        """
    )
    run_pytest().assert_outcomes(passed=1)


def test_each_test_starts_at_zero(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Two tests share no clock, and the fixtures of a test live in its time."""
    pytester.makepyfile(
        """
        import time
        import pytest

        @pytest.fixture
        def slow(fake_llm):
            time.sleep(5)
            yield time.monotonic()
            time.sleep(5)
            assert time.monotonic() == 11

        @pytest.mark.parametrize("number", range(2))
        def test_it(slow, number):
            time.sleep(1)
            assert (slow, time.monotonic()) == (5, 6)
        """
    )
    run_pytest().assert_outcomes(passed=2)


def test_a_fixture_of_wider_scope_is_made_in_real_time(
    pytester: pytest.Pytester, run_pytest: RunPytest
) -> None:
    """A session fixture that the first test asks for does not see that test's clock."""
    pytester.makepyfile(
        """
        import time
        import pytest

        REAL_SLEEP = time.sleep

        @pytest.fixture(scope="session")
        def wide():
            assert time.sleep is REAL_SLEEP
            return time.time()

        def test_it(fake_llm, wide):
            assert wide > time.time() + 3600
        """
    )
    run_pytest().assert_outcomes(passed=1)


def test_a_real_connection_is_refused(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """A test in virtual time cannot reach a real server, and the error names the fix."""
    pytester.makepyfile(
        """
        import socket
        import httpx2
        import pytest
        import wavetank

        def test_socket(fake_llm):
            with pytest.raises(wavetank.RealInputOutput, match="llm_clock"):
                socket.create_connection(("127.0.0.1", 9))

        @pytest.mark.llm_expect(unknown_hosts=["nowhere.example"])
        def test_other_host(fake_llm):
            with pytest.raises(httpx2.ConnectError, match="nowhere.example"):
                httpx2.get("https://nowhere.example")
        """
    )
    run_pytest().assert_outcomes(passed=2)


@pytest.mark.parametrize("scope", ["module", "session"])
def test_a_loop_that_outlives_the_test(pytester: pytest.Pytester, run_pytest: RunPytest, scope: str) -> None:
    """A test whose event loop has a wider scope has virtual time, and so has the next test on that loop."""
    mark = f'@pytest.mark.asyncio(loop_scope="{scope}")'
    pytester.makepyfile(
        async_test("test_it", mark),
        test_more=async_test("test_first", mark)
        + f"""
{mark}
async def test_second(tank):
    assert tank.now() == 0
    await anyio.sleep(10)
    assert tank.now() == 10
""",
    )
    run_pytest(plugins=["asyncio"]).assert_outcomes(passed=3)
