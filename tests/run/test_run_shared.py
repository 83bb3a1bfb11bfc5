"""Several runs in processes of their own that share one limit: `wavetank run --share`."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from wavetank.cli import main

WAVETANK = [sys.executable, "-m", "wavetank"]
ROWS = 8
PROCESSES = 3
SCENARIO = """
[latency]
first_token = "50ms"

[limits]
requests_per_minute = 600
burst = "1m"
"""


def run_words(output: str, url: str, *words: str) -> list[str]:
    """The words of a run."""
    return ["run", "in.csv", "-o", output, "--model", "gpt-4o", "--base-url", url, *words]


def environment(folder: Path) -> dict[str, str]:
    """The variables of a run."""
    return {
        "OPENAI_API_KEY": "sk-secret",
        "PATH": os.defpath,
        "XDG_STATE_HOME": str(folder),
        "HOME": str(folder),
    }


def run(folder: Path, *words: str, output: str, url: str) -> Any:
    """A run in a process of its own."""
    return subprocess.Popen(
        [*WAVETANK, *run_words(output, url, *words)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment(folder),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the runs with their input."""
    rows = "".join(f"q{number},Question {number}\n" for number in range(ROWS))
    (tmp_path / "in.csv").write_text(f"id,prompt\n{rows}")
    (tmp_path / "scenario.toml").write_text(SCENARIO)
    return tmp_path


def events(folder: Path) -> list[dict[str, Any]]:
    """What the server has written down."""
    return [json.loads(line) for line in (folder / "events.ndjson").read_text("utf-8").splitlines()[1:]]


def gate_log(file: Path) -> list[list[str]]:
    """The words of each entry in the log of the only gate in this file."""
    with closing(sqlite3.connect(file)) as database:
        return [entry.split() for (entry,) in database.execute("SELECT entry FROM log ORDER BY place")]


def test_runs_that_are_told_a_limit_share_it(folder: Path) -> None:
    """Three processes keep the limit of one, over the file of this machine, and all rows are answered."""
    command = [*WAVETANK, "serve", "scenario.toml", "--port", "0", "--journal", "events.ndjson"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert address is not None
        url = f"{address.group()}/v1"
        words = ["--share", "auto", "--rate", "600/m"]
        runs = [run(folder, *words, output=f"out{number}.csv", url=url) for number in range(PROCESSES)]
        said = [process.communicate(timeout=120)[0] for process in runs]
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=60)
    assert [process.returncode for process in runs] == [0] * PROCESSES, said
    arrived = [event for event in events(folder) if event.get("kind") == "arrived"]
    assert len(arrived) == PROCESSES * ROWS
    files = list((folder / "Library" / "Application Support" / "wavetank").glob("*.gate"))
    files += (folder / "wavetank").glob("*.gate")
    assert [file.name.startswith("openai-") for file in files] == [True]
    assert "secret" not in files[0].name
    # How a gate spaces what goes through it is shown in virtual time, in tests/processor/shared.
    log = gate_log(files[0])
    limits = [words[2:] for kind, *words in log if kind == "T"]
    assert limits == [["[600.0,", "null,", "null,", "null]"]] * PROCESSES
    senders = Counter(words[1] for kind, *words in log if kind == "S")
    assert senders == dict.fromkeys("123", ROWS)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--share", "http://host"], "http:… is no place for a shared gate; give redis://host:6379/0"),
        (["--share-of", "3"], "--share-of divides the limits that --share shares: add --share"),
        (["--share", "redis://127.0.0.1:9"], "--share: redis://127.0.0.1:9/0 cannot be reached"),
        (["--share", "file:in.csv"], "--share: file:in.csv"),
        (["--share", "auto", "--batch"], "--share is about rows that are sent one by one"),
    ],
)
def test_a_place_that_cannot_be_used_ends_the_run_before_it_starts(
    words: list[str],
    said: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With status 2 and the way out; nothing is sent."""
    monkeypatch.chdir(folder)
    for name, value in environment(folder).items():
        monkeypatch.setenv(name, value)
    try:
        status = main(run_words("out.csv", "http://127.0.0.1:9/v1", *words))
    except SystemExit as exit:
        status = exit.code  # type: ignore[assignment]
    assert status == 2
    assert said in capsys.readouterr().err
    assert (folder / "in.csv").read_text().startswith("id,prompt")
