"""Failures of explored tests are kept: tried first next time, and dropped when they pass."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from .conftest import RunPytest

TEST = """
import anyio
import wavetank
import app


@wavetank.explore(scenario="calm", schedules=12, backends={backends})
async def test_race(tank):
    await app.two_tasks()


def test_search(llm_search):
    async def other(tank):
        pass

    async def main(tank):
        await app.two_tasks()

    llm_search(other, schedules=3).check()
    llm_search(main, schedules=12).check()
"""
APP = """
import anyio


async def two_tasks():
    went = []

    async def work(name):
        await anyio.sleep(1)
        went.append(name)

    async with anyio.create_task_group() as group:
        group.start_soon(work, "a", name="a")
        group.start_soon(work, "b", name="b")
    assert went == ["a", "b"], went
"""
FIXED = APP.replace('assert went == ["a", "b"], went', "pass")
SLOWER = APP.replace("    went = []", "    went = []\n    await anyio.sleep(3)")
KEPT = "in a schedule kept from an earlier run, reachable on trio (1 reordering)"
FOUND = "of the search (pct), reachable on trio (1 reordering)"

PASSES = ": the failure that was kept passes now; tried before the search, and forgotten"

ONE = ("-k", "race and asyncio")
"""The options that choose one of the failing tests."""


@pytest.fixture
def project(pytester: pytest.Pytester) -> Path:
    """A project with a race in its module `app`."""
    pytester.makepyfile(test_it=TEST.format(backends=["asyncio", "trio"]), app=APP)
    return pytester.path


def tokens(folder: Path) -> list[str]:
    """The tokens that are kept."""
    return sorted(file.read_text().splitlines()[0] for file in folder.rglob("*.token"))


def run(run_pytest: RunPytest, *options: str) -> pytest.RunResult:
    """Run pytest; in a process of its own if there are workers."""
    return run_pytest(*options, apart="-n" in options, plugins=["xdist"])


def test_a_failure_is_tried_first_until_it_is_fixed(project: Path, run_pytest: RunPytest) -> None:
    """It is found once, then fails at once, also in another version of the program; fixed, it is dropped."""
    found = run(run_pytest)
    assert found.parseoutcomes()["failed"] == 3
    assert str(found.stdout).count(FOUND) == 3
    kept = tokens(project / ".wavetank")
    assert len(kept) == 3
    assert (project / ".wavetank" / ".gitignore").read_text() == "*\n"
    again = run(run_pytest)
    assert again.parseoutcomes()["failed"] == 3
    assert str(again.stdout).count(KEPT) == 3
    assert FOUND not in str(again.stdout)
    assert tokens(project / ".wavetank") == kept
    assert all(f"--llm-replay={token}" in str(again.stdout) for token in kept)

    (project / "app.py").write_text(SLOWER)
    changed = run(run_pytest)
    assert str(changed.stdout).count(KEPT) == 3
    now = tokens(project / ".wavetank")
    assert len(now) == 3
    assert not {*now} & {*kept}
    replayed = run(
        run_pytest, "test_it.py::test_race[trio]", f"--llm-replay={token_of(changed, 'test_race[trio]')}"
    )
    replayed.stdout.fnmatch_lines(["*error, repeated from its token*"])

    (project / "app.py").write_text(FIXED)
    fixed = run(run_pytest)
    assert fixed.parseoutcomes()["passed"] == 3
    assert [line.partition(": ")[0] for line in fixed.outlines if line.endswith(PASSES)] == [
        "test_it.py::test_race[asyncio]",
        "test_it.py::test_race[trio]",
        "test_it.py::test_search",
    ]
    assert tokens(project / ".wavetank") == []
    assert PASSES not in str(run(run_pytest).stdout)
    (project / "app.py").write_text(APP)
    assert FOUND in str(run(run_pytest, "test_it.py::test_search").stdout)


def token_of(result: pytest.RunResult, test: str) -> str:
    """The token in the line that repeats the failure of a test."""
    (line,) = (line for line in result.outlines if "to repeat it" in line and test in line)
    return line.rpartition("=")[2]


def test_one_that_no_longer_fits_is_dropped(project: Path, run_pytest: RunPytest) -> None:
    """A token of a scenario that has changed since, or a torn file, is no failure of this test."""
    (project / "own.toml").write_text('title = "x"\n')
    test = TEST.format(backends=["asyncio"]).replace('"calm"', '"own.toml"')
    (project / "test_it.py").write_text(test)
    run(run_pytest, "-k", "race")
    assert len(tokens(project / ".wavetank")) == 1
    (project / "own.toml").write_text('title = "x"\n[latency]\nfirst_token = "2s"\n')
    (file,) = (project / ".wavetank").rglob("*.token")
    file.with_name("torn.token").write_bytes(b"wt1-\xff")
    again = run(run_pytest, "-k", "race")
    assert FOUND in str(again.stdout)
    assert PASSES not in str(again.stdout)
    assert token_of(again, "test_race") in tokens(project / ".wavetank")
    assert len(tokens(project / ".wavetank")) == 1


def test_one_beyond_the_level_waits(project: Path, run_pytest: RunPytest) -> None:
    """A narrower search neither tries nor drops what it could not find itself."""
    run(run_pytest, *ONE)
    kept = tokens(project / ".wavetank")
    assert run(run_pytest, *ONE, "--llm-level=fifo").parseoutcomes()["passed"] == 1
    assert tokens(project / ".wavetank") == kept
    assert KEPT in str(run(run_pytest, *ONE).stdout)


def test_the_workers_of_xdist_share_them(project: Path, run_pytest: RunPytest) -> None:
    """Whichever process has the test, it finds what was kept."""
    assert run(run_pytest, "-n", "2").parseoutcomes()["failed"] == 3
    assert len(tokens(project / ".wavetank")) == 3
    assert str(run(run_pytest, "-n", "2").stdout).count(KEPT) == 3


@pytest.mark.parametrize("how", ["--llm-database=none", "ini"])
def test_none_are_kept(project: Path, run_pytest: RunPytest, pytester: pytest.Pytester, how: str) -> None:
    """Neither are any tried, nor is there a folder."""
    ini = "[pytest]\nllm_database = none\n" if how == "ini" else "[pytest]\n"
    options = () if how == "ini" else (how,)
    for _ in range(2):
        done = run_pytest(*options, "-c", str(pytester.makefile(".ini", other=ini)), *ONE, plugins=[])
        assert str(done.stdout).count(FOUND) == 1
    assert not (project / ".wavetank").exists()


def test_another_folder(project: Path, run_pytest: RunPytest, tmp_path: Path) -> None:
    """One on the command line is where pytest was started, one in the ini file belongs to the project."""
    run(run_pytest, *ONE, f"--llm-database={tmp_path / 'kept'}")
    assert len(tokens(tmp_path / "kept")) == 1
    run(run_pytest, *ONE, "-o", "llm_database=kept")
    assert len(tokens(project / "kept")) == 1
    assert not (project / ".wavetank").exists()


@pytest.mark.parametrize("how", ["read-only", "a file"])
def test_a_folder_that_cannot_be_written_is_no_error(project: Path, run_pytest: RunPytest, how: str) -> None:
    """The search fails as it would; nothing is kept, and what was kept is still tried."""
    if how == "a file":
        (project / ".wavetank").write_text("")
        assert str(run(run_pytest, *ONE).stdout).count(FOUND) == 1
        return
    if os.geteuid() == 0:  # which may write anywhere but on a read-only file system
        pytest.skip("root ignores the permissions of folders")
    run(run_pytest, *ONE)
    kept = project / ".wavetank"
    for each in (kept, *kept.rglob("*")):
        each.chmod(stat.S_IREAD | (stat.S_IEXEC if each.is_dir() else 0))
    try:
        done = run(run_pytest, "-k", "race")
        assert (str(done.stdout).count(KEPT), str(done.stdout).count(FOUND)) == (1, 1)
        (project / "app.py").write_text(FIXED)
        assert run(run_pytest, "-k", "race").parseoutcomes()["passed"] == 2
        assert len(tokens(kept)) == 1
    finally:
        for each in (kept, *kept.rglob("*")):
            each.chmod(stat.S_IRWXU)
        shutil.rmtree(kept)
