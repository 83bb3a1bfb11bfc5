"""Explored tests use all cores where that is safe, and `-v` says why one is searched by one process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import RunPytest

TEST = """
import os
import anyio
import pytest
import wavetank


async def two_tasks():
    async with anyio.create_task_group() as group:
        for pause in (1, 1):
            group.start_soon(anyio.sleep, pause)


@pytest.fixture
def number():
    return [3, "x"]


@pytest.fixture
def handle():
    return object()


@pytest.fixture
def nothing():
    yield


@wavetank.explore(backends="asyncio")
async def test_plain(tank):
    await two_tasks()


@pytest.mark.parametrize("kind", [None, 1])
@wavetank.explore(backends="asyncio")
async def test_values(tank, number, kind):
    await two_tasks()


@wavetank.explore(backends="asyncio")
async def test_handle(tank, handle):
    await two_tasks()


@wavetank.explore(backends="asyncio")
async def test_folder(tank, tmp_path):
    await two_tasks()


@wavetank.explore(backends="asyncio")
async def test_effect(tank, nothing):
    await two_tasks()


@wavetank.explore(backends="asyncio", jobs=1)
async def test_alone(tank):
    await two_tasks()


class TestClass:
    @wavetank.explore(backends="asyncio")
    async def test_method(self, tank):
        await two_tasks()


class TestSetUp:
    def setup_method(self):
        self.handle = object()

    @wavetank.explore(backends="asyncio")
    async def test_method(self, tank):
        await two_tasks()


def test_search(llm_search):
    async def main(tank):
        await two_tasks()

    llm_search(main).check()
"""


TWO_CORES = """
import os
import sys

os.sched_getaffinity = lambda _: {0, 1}
sys.modules.pop("coverage", None)  # with which our own tests are measured
sys.gettrace = lambda: TRACER
"""


@pytest.fixture
def lines(pytester: pytest.Pytester, run_pytest: RunPytest) -> Callable[..., dict[str, str]]:
    """Runs pytest as if there were two cores, and returns what is said of the processes of each test."""
    pytester.makepyfile(test_it=TEST)

    def run(*options: str, tracer: str = "None") -> dict[str, str]:
        pytester.makeconftest(TWO_CORES.replace("TRACER", tracer))
        # Not in this process: it may be one of pytest-xdist, which have threads.
        result = run_pytest("-v", "--llm-schedules=20", *options, apart=True, plugins=["xdist"])
        assert "failed" not in result.parseoutcomes()
        said = (line for line in result.outlines if " in calm: 20 schedules" in line)
        return {
            line.partition("::")[2].partition(": passed")[0]: line.partition("schedules")[2].lstrip(", ")
            for line in said
        }

    return run


SHARED = "in one process: {} may not be shared by processes; --llm-jobs=N uses N nevertheless"


def test_all_cores_are_used_where_that_is_safe(lines: Callable[..., dict[str, str]]) -> None:
    """Plain values may be shared, other fixtures may not; who asks for one process gets it."""
    assert lines() == {
        "test_plain[asyncio]": "in 2 processes",
        "test_values[asyncio-None]": "in 2 processes",
        "test_values[asyncio-1]": "in 2 processes",
        "test_handle[asyncio]": SHARED.format("the fixture 'handle'"),
        "test_folder[asyncio]": SHARED.format("the fixture 'tmp_path'"),  # which needs others itself
        "test_effect[asyncio]": SHARED.format("the fixture 'nothing'"),
        "test_alone[asyncio]": "",
        "TestClass::test_method[asyncio]": "in 2 processes",
        "TestSetUp::test_method[asyncio]": SHARED.format("setup_method"),
        "test_search": "",
    }


def test_the_command_line_decides(lines: Callable[..., dict[str, str]]) -> None:
    """A number there counts for every search; one in the ini file only where the test does not say it."""
    assert {*lines("--llm-jobs=3").values()} == {"in 3 processes"}
    said = lines("-o", "llm_jobs=2", "-k", "plain or handle or alone or search")
    assert len(said) == 4
    assert {test for test, how in said.items() if how != "in 2 processes"} == {"test_alone[asyncio]"}


def test_the_workers_of_xdist_have_the_cores(lines: Callable[..., dict[str, str]]) -> None:
    """There each test is searched by its worker alone."""
    said = lines("-n", "2", "-k", "plain or values")
    assert {*said.values()} == {"in one process: the processes of pytest-xdist use the cores"}


def test_a_tracer_sees_one_process(lines: Callable[..., dict[str, str]]) -> None:
    """Coverage and debuggers would miss what happens in others."""
    why = "in one process: a tracer, such as that of coverage or a debugger, sees only this process"
    assert lines("-k", "plain", tracer="print") == {"test_plain[asyncio]": why}


@pytest.mark.parametrize("value", ["0", "-1", "many", ""])
def test_a_wrong_number_is_refused(pytester: pytest.Pytester, run_pytest: RunPytest, value: str) -> None:
    """Before anything runs, with the right values."""
    pytester.makepyfile(TEST)
    result = run_pytest(f"--llm-jobs={value}", plugins=[])
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = "give one, or leave" if not value else "give a whole number of processes, at least 1, or auto"
    result.stderr.fnmatch_lines([f"*--llm-jobs={value}*{text}*"])


def test_what_is_printed_elsewhere_is_captured(pytester: pytest.Pytester, run_pytest: RunPytest) -> None:
    """Every schedule's output once, whichever process made it, and none of it outside the test's report."""
    pytester.makepyfile(
        """
        import wavetank

        @wavetank.explore(backends="asyncio", jobs=2, schedules=200, checks=[])
        async def test_prints(tank):
            print("a run")

        def test_fails():
            print("another")
            assert False
        """
    )
    result = run_pytest("-rP", "-v", apart=True, plugins=[])
    assert "in 2 processes" in str(result.stdout)
    # Lines of two processes may meet in one: what they say is what counts.
    assert sum(line.count("a run") for line in result.outlines) == 200
    assert sum(line == "another" for line in result.outlines) == 1
