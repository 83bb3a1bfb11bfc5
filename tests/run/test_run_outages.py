"""Real processes: a server that is killed and comes back, a full disk, questions to a run while it works."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROWS = 150
KEY = "sk-secret-0123456789"
WAVETANK = [sys.executable, "-m", "wavetank"]
SCENARIO = """
[latency]
first_token = "80ms..120ms"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run with its input and the scenario of its server."""
    rows = "".join(f"q{number},Question {number}\n" for number in range(ROWS))
    (tmp_path / "in.csv").write_text(f"id,prompt\n{rows}")
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    return tmp_path


@contextmanager
def server(folder: Path, port: int = 0) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """A server and its port."""
    command = [*WAVETANK, "serve", "scenario.toml", "--port", str(port)]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert address is not None
            yield int(address[1]), process
        finally:
            process.kill()


def run(folder: Path, port: int, *words: str, kilobytes: int | None = None) -> subprocess.Popen[str]:
    """A run in a process of its own, whose files may have at most so many kilobytes."""
    command = [*WAVETANK, "run", "in.csv", "-o", "out.csv", "--model", "gpt-4o", "--journal", "run.db"]
    command += ["--base-url", f"http://127.0.0.1:{port}/v1", "-j", "10", "--resume", *words]
    if kilobytes is not None:
        # POSIX counts blocks of 512 bytes.
        command = ["sh", "-c", f'ulimit -f {2 * kilobytes}; exec "$@"', "sh", *command]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"OPENAI_API_KEY": KEY, "PATH": os.defpath},
    )


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "out.csv").open(newline="") as file:
        return list(csv.DictReader(file, strict=True))


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, "it did not happen within a minute"
        time.sleep(0.01)


def test_a_run_outlives_a_full_disk_and_a_server_that_is_killed(folder: Path) -> None:
    """Every row has its answer in the end, none is there twice, and no outage cost one its attempts."""
    with server(folder) as (port, first):
        with run(folder, port, kilobytes=400) as full:
            said, _ = full.communicate(timeout=300)
        assert full.returncode == 3, said
        assert "stopped: " in said
        assert "to go on: " in said
        done = len(rows(folder))
        assert 0 < done < ROWS
        with run(folder, port, "-v") as resumed:
            wait_until(lambda: len(rows(folder)) > done + 10)
            first.kill()
            first.wait()
            resumed.send_signal(signal.SIGUSR1)
            with server(folder, port) as (_, second):
                ctl = [*WAVETANK, "ctl", "run.db", "-j", "30"]
                asked = subprocess.run(ctl, cwd=folder, capture_output=True, text=True, check=False)
                said, _ = resumed.communicate(timeout=300)
                second.send_signal(signal.SIGINT)
                printed, _ = second.communicate(timeout=300)
    assert resumed.returncode == 0, said
    assert asked.returncode == 0, asked.stderr
    assert "of 30 requests under way" in asked.stdout
    assert "of 10 requests under way" in said
    assert "paused account until" in said
    assert "(outage: no status, " in said
    found = rows(folder)
    assert Counter(row["id"] for row in found) == Counter(f"q{number}" for number in range(ROWS))
    assert {row["error"] for row in found} == {""}
    # Under the full disk ten were under way whose answers could not be stored.
    assert sum(row["possibly_repeated"] == "yes" for row in found) <= 10
    served = re.search(r"(\d+) requests, 0 refused", printed)
    assert served is not None
    assert int(served[1]) <= ROWS - done
    assert {path.name for path in folder.iterdir()} == {"in.csv", "out.csv", "run.db", "scenario.toml"}
