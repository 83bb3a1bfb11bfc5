"""The process is as it was, whatever the tests do and however they end."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RunPytest = Callable[..., pytest.RunResult]

HERE = Path(__file__).parent / "unharmed"


def test_no_test_changes_the_process(tmp_path: Path) -> None:
    """Tests that pass, fail, raise in fixtures, exit or are interrupted, on every engine; see `sessions.py`.

    Plain tests among them look at the modules that wavetank patches; all modules are compared at the end.
    """
    folder = shutil.copytree(HERE, tmp_path / "unharmed", ignore=shutil.ignore_patterns("__pycache__"))
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "sessions.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert out.stdout.strip() == "97 tests and 32 sessions", out.stdout[-5000:] + out.stderr[-5000:]


INTERRUPTED = """
import time, pytest
from pathlib import Path
@pytest.fixture
def pause():
    yield
    time.sleep(0.5)
    Path("torn-down").write_text(str(time.monotonic()))
def test_it(fake_llm, pause):
    pytest.exit("now")
"""


def test_an_interrupted_test_is_torn_down_in_its_own_time(
    run_pytest: RunPytest, pytester: pytest.Pytester
) -> None:
    """Although that is done at the end of the session."""
    pytester.makepyfile(INTERRUPTED)
    assert run_pytest().ret == pytest.ExitCode.INTERRUPTED
    assert (pytester.path / "torn-down").read_text() == "0.5"
