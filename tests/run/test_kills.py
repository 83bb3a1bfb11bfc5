"""A journaled run, killed at any instant and resumed, loses nothing and marks what it may have paid twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..depth import n_of

DRIVER = Path(__file__).with_name("kills.py")
# A multiple of eight, so that each kind of run in `kills.py` has its share.
# Without the note before each request sixteen find double pay; these are three times as many.
POINTS = n_of(48, 1000)


def killed(folder: Path, points: int, *words: str) -> dict[str, Any]:
    """What became of runs killed at so many points."""
    # Without the tracer of a coverage run, which most of them would not live to save.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    command = [sys.executable, str(DRIVER), str(folder), str(points), *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_run_killed_at_any_step_loses_nothing(tmp_path: Path) -> None:
    """Every outcome once in journal and output, every repeat marked, no more marks than were under way."""
    found = killed(tmp_path, POINTS)
    assert found["wrong"] == {}, f"to repeat one: python {DRIVER.name} FOLDER {POINTS} --only POINT"
    # Point 0 and its like are killed before the first step, and all the others later.
    assert found["killed"] >= POINTS
    assert found["paid twice"] > POINTS / 10


def test_a_journal_that_forgets_what_it_sends_is_found(tmp_path: Path) -> None:
    """The proof above can fail: without the note before each request, double pay has no mark."""
    found = killed(tmp_path, 16, "--forgetful")
    assert any("without a mark" in line for lines in found["wrong"].values() for line in lines)
