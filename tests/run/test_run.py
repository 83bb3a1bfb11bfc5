"""`wavetank run`, as a user runs it: rehearsed, against a server on loopback, interrupted and resumed."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wavetank.cli import main
from wavetank.processor.journal import Journal
from wavetank.run.providers import PROVIDERS

from .output import rows as output

KEY = "sk-secret-0123456789"
STEADY = """
title = "Steady"
[latency]
first_token = "100ms"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the run happens in, with an input of 12 rows."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "OPENROUTER_API_KEY",
    ):
        monkeypatch.delenv(name, raising=False)
    write_rows(tmp_path, 12)
    return tmp_path


def write_rows(folder: Path, count: int) -> None:
    lines = ["id,prompt,lang", *(f"q{number},Question {number},de" for number in range(count))]
    (folder / "in.csv").write_text("\n".join(lines) + "\n")


WORDS = ["run", "in.csv", "--output", "out.csv", "--model", "gpt-4o"]


@contextmanager
def serving(folder: Path, scenario: str = STEADY) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A server in a process of its own, and its base URL."""
    (folder / "scenario.toml").write_text(scenario)
    command = [sys.executable, "-m", "wavetank", "serve", "scenario.toml", "--port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert address is not None
            yield f"{address.group()}/v1", process
        finally:
            process.kill()


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "wavetank", *WORDS, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"OPENAI_API_KEY": KEY, "PATH": ""},
    )


def wait_for_rows(folder: Path, count: int) -> None:
    """Until the output has so many rows."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if (folder / "out.csv").exists() and (folder / "out.csv").read_text().count("\n") > count:
            return
        time.sleep(0.01)
    raise AssertionError("no rows came")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_cut_off_resumes_and_pays_for_nothing_twice(folder: Path, how: signal.Signals) -> None:
    """After Ctrl-C, which prints the line that resumes, and after kill -9, only the rest is asked for."""
    with serving(folder) as (url, server):
        words = ["--base-url", url, "-j", "3", "--journal", "run.db", "--resume"]
        with started(folder, *words) as run:
            wait_for_rows(folder, 3)
            run.send_signal(how)
            said, _ = run.communicate(timeout=300)
        done = len(output(folder))
        if how == signal.SIGINT:
            assert run.returncode == 130, said
            assert f"{done} of 12 rows have answers" in said
            line = re.search(r"to go on: wavetank (run .*)", said)
            assert line is not None
            assert line[1].split()[1:] == [*WORDS[1:], *words]
        with started(folder, *words) as run:
            said, _ = run.communicate(timeout=300)
        assert run.returncode == 0, said
        earlier = re.search(r"12 of 12 rows have answers, (\d+) of them in earlier runs", said)
        assert earlier is not None
        # A row may have come to the journal and not yet to the output.
        assert done <= int(earlier[1]) <= done + 3
        server.send_signal(signal.SIGINT)
        printed, _ = server.communicate(timeout=300)
    rows = output(folder)
    assert sorted(rows) == sorted(f"q{number}" for number in range(12))
    assert all(f"[wt:{id}]" in row["answer"] and row["lang"] == "de" for id, row in rows.items())
    repeated = [id for id, row in rows.items() if row["possibly_repeated"] == "yes"]
    assert len(repeated) <= 3
    requests = re.search(r"(\d+) requests", printed)
    assert requests is not None
    assert int(requests[1]) <= 12 + len(repeated)
    assert KEY.encode() not in b"".join(file.read_bytes() for file in folder.iterdir())


DEAF = """
import sys, anyio
from wavetank.cli import main
from wavetank.run.provider_strategy import ProviderStrategy

async def execute(self, item):
    print("asked", flush=True)
    with anyio.CancelScope(shield=True):
        await anyio.sleep(60)

ProviderStrategy.execute = execute
sys.exit(main(sys.argv[1:]))
"""


def test_a_second_ctrl_c_ends_at_once(folder: Path) -> None:
    """It waits for nothing, not even for code that ignores the first one, and the journal is whole."""
    words = [*WORDS, "--provider", "ollama", "--journal", "run.db", "--resume"]
    with subprocess.Popen(
        [sys.executable, "-c", DEAF, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert [run.stdout.readline() for _ in range(10)] == ["asked\n"] * 10
        until = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < until:
            # Two that come in one moment are one to the process.
            run.send_signal(signal.SIGINT)
            time.sleep(0.05)
        said = run.stdout.read()
    assert run.returncode == 130
    assert said.rstrip().endswith(f"to go on: wavetank {shlex.join(words)}")
    with Journal("run.db", resume=True, settings={"--provider": "ollama", "--model": "gpt-4o"}) as journal:
        assert journal.repeats() == tuple(f"q{number}" for number in range(10))
        assert journal.counts() == (0, 0, 12)


LOST = """
import socket, sys, threading
from wavetank.cli import main

def getaddrinfo(*_, **__):
    print("asked", flush=True)
    threading.Event().wait()

socket.getaddrinfo = getaddrinfo
sys.exit(main(sys.argv[1:]))
"""


def test_ctrl_c_waits_for_no_lookup_of_a_name(folder: Path) -> None:
    """One is enough for the report and the line that resumes, and the files are whole."""
    words = [*WORDS, "--base-url", "http://nowhere.invalid/v1", "-j", "1", "--journal", "run.db", "--resume"]
    with subprocess.Popen(
        [sys.executable, "-c", LOST, *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": KEY},
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "asked\n"
        run.send_signal(signal.SIGINT)
        said, _ = run.communicate(timeout=300)
    assert run.returncode == 130, said
    assert "0 of 12 rows have answers" in said
    assert said.rstrip().endswith(f"to go on: wavetank {shlex.join(words)}")
    assert (folder / "out.csv").read_text().startswith("id,")


LISTED = {
    "openai": "/v1",
    "openai-compatible": "/v1",
    "anthropic": "",
    "gemini": "",
    "openrouter": "/openrouter/api/v1",
    "mistral": "/mistral/v1",
    "ollama": "/ollama",
}


def test_the_models_of_every_provider_are_listed_and_asked_in_one_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--list-models` needs no rows; one run then asks a model of each, at the address of each."""
    assert LISTED.keys() == PROVIDERS.keys()
    lines = ["id,prompt,provider,model"]
    with serving(folder) as (url, _):
        words = []
        for name, path in LISTED.items():
            at = ["--base-url", f"{name}={url.removesuffix('/v1')}{path}"]
            assert main(["run", "--list-models", "--provider", name, *at]) == 0
            models = capsys.readouterr().out.split()
            assert models == sorted(models)
            lines.append(f"{name},Question,{name},{models[0]}")
            words += at
        (folder / "in.csv").write_text("\n".join(lines) + "\n")
        assert main(["run", "in.csv", "-o", "out.csv", *words]) == 0
    assert {id: f"[wt:{id}]" in row["answer"] for id, row in output(folder).items()} == dict.fromkeys(
        LISTED, True
    )
    assert main(["run", "--list-models", "--provider", "openai", "--base-url", url]) == 2
    assert "cannot reach openai: " in capsys.readouterr().err


def test_json_lines_in_and_out(folder: Path) -> None:
    """Rows of JSON keep their parts, and the answer stands beside them."""
    (folder / "in.jsonl").write_text('{"prompt": "wave", "tags": ["a", "b"]}\n')
    with serving(folder) as (url, _):
        assert main(["run", "in.jsonl", "-o", "out.jsonl", "--model", "m", "--base-url", url]) == 0
    (row,) = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    assert (row["id"], row["tags"], row["attempts"]) == ("row-1", ["a", "b"], 1)
    assert "[wt:row-1]" in row["answer"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_rehearsal_needs_no_key_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], provider: str
) -> None:
    """`--scenario` prints the forecast: virtual time, refusals, and what the ledger says."""
    write_rows(folder, 30)
    words = [*WORDS, "--provider", provider, "--scenario", "cascade", "--journal", "run.db"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"in 'cascade' with seed 0, 10 in parallel: .* of virtual time, \d+ requests, \d+ refused", said
    )
    assert "30 of 30 rows have answers" in said
    assert "exactly_once passed" in said
    assert [file.name for file in folder.iterdir()] == ["in.csv"]
    assert main([*words, "-j", "1", "--max-requests", "3"]) == 1
    bounded = capsys.readouterr().out
    assert re.search("[123] of 30 rows have answers", bounded)
    assert "stopped early: its 3 requests were sent" in bounded
    assert "exactly_once passed" in bounded


def test_a_rehearsal_reports_a_spent_quota_and_a_spent_budget(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows left for later are reported with the reason; costs come from prices or the provider."""
    write_rows(folder, 60)
    daily = [*WORDS, "--provider", "gemini", "--scenario", "daily-quota"]
    assert main(daily) == 1
    said = capsys.readouterr().out
    assert "25 of 60 rows have answers" in said
    assert re.search(r" \d rows? left for later: daily quota, resets 2026-01-01 00:10 UTC\n", said)
    assert re.search(
        r" \d\d rows left for later: not asked: daily quota, resets 2026-01-01 00:10 UTC\n", said
    )
    assert main([*daily, "--on-quota", "wait"]) == 0
    assert "60 of 60 rows have answers" in capsys.readouterr().out
    priced = ["--scenario", "calm", "--max-cost", "0.001", "--price-input", "0", "--price-output", "10"]
    assert main([*WORDS, *priced]) == 1
    said = capsys.readouterr().out
    assert "stopped early: its cost of 0.001 was reached" in said
    assert re.search(r" tokens in, \d+ out, 0\.001\d* spent", said)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "set OPENAI_API_KEY to the API key of openai"),
        (["--provider", "gemini"], "set GEMINI_API_KEY or GOOGLE_API_KEY"),
        (["--provider", "openai-compatible"], "needs the --base-url"),
        (["--resume"], "--resume needs the --journal"),
        (["--list-models"], "set OPENAI_API_KEY"),
        (["--list-models", "--scenario", "calm"], "--list-models asks the provider itself"),
        (["--list-models", "--provider", "openai-compatible"], "needs the --base-url"),
        (["--base-url", "anthropic=http://x"], "set OPENAI_API_KEY"),
        (["--journal", "run.db", "--retry-failed"], "needs --resume"),
        (["--output", "out.xlsx"], "ends with .csv or .jsonl"),
        (["--output", "in.csv"], "is the input itself"),
        (["--prompt-column", "text"], "no column 'text'"),
        (["--scenario", "casade"], "did you mean 'cascade'"),
        (["--provider", "ollama", "--journal", "in.csv"], "is no journal of wavetank"),
        (["--max-cost", "5"], "--provider openai does not state it: give --price-input and --price-output"),
        (["--max-cost", "5", "--price-input", "1"], "--price-input and --price-output go together"),
    ],
)
def test_an_error_says_what_has_to_be_fixed(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    """The run does not start, the status is 2, and the text says what to do; the input stays as it is."""
    before = (folder / "in.csv").read_bytes()
    assert main([*WORDS, *words]) == 2
    printed = capsys.readouterr().err
    assert said in printed
    assert "`key`" not in printed, "that is an argument of the library, not of the command line"
    assert (folder / "in.csv").read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        ["-j", "0"],
        ["--price-input", "-1"],
        ["--price-output", "free"],
        ["--timeout", "-1"],
        ["--seed", "x"],
        ["--provider", "nobody"],
        ["--base-url", "nobody=http://x"],
        ["--rate", "gpt-4o=10"],
    ],
)
def test_wrong_words_are_a_usage_error(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """A value out of range ends with the usage."""
    assert folder
    with pytest.raises(SystemExit) as stop:
        main([*WORDS, *words])
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err


@pytest.mark.parametrize("words", [["run"], ["run", "in.csv"], ["run", "-o", "out.csv"]])
def test_an_input_and_an_output_must_be_named(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Only a list of models needs neither."""
    assert folder
    assert main([*words, "--model", "m"]) == 2
    assert (
        "name the INPUT with the rows, and the file for the answers with --output" in capsys.readouterr().err
    )


def test_an_unknown_provider_is_an_error_with_a_suggestion(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip of the keyboard is found."""
    assert folder
    with pytest.raises(SystemExit):
        main([*WORDS, "--provider", "antropic"])
    assert "there is no provider 'antropic'; did you mean 'anthropic'?" in capsys.readouterr().err


def test_a_changed_input_is_not_resumed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first row that differs is named; another model is noticed, too."""
    # Rows without a prompt fail at once, so nothing is sent.
    (folder / "in.csv").write_text("id,prompt,lang\nq0,,de\nq1,,de\nq2,,de\n")
    common = [*WORDS, "--provider", "ollama", "--journal", "run.db", "--resume"]
    assert main(common) == 1
    capsys.readouterr()
    assert main([*common, "--model", "other"]) == 2
    assert "started with --model 'gpt-4o', not 'other'" in capsys.readouterr().err
    (folder / "in.csv").write_text("id,prompt,lang\nq0,,de\nq1,,fr\nq2,,de\n")
    assert main(common) == 2
    assert "row 2, with the id 'q1', had another prompt or other data" in capsys.readouterr().err


def test_an_output_that_holds_rows_is_not_overwritten(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without `--resume` a file with rows is refused, and stays."""
    (folder / "out.csv").write_text("mine\n")
    assert main([*WORDS, "--provider", "ollama"]) == 2
    assert "out.csv is no file of these results" in capsys.readouterr().err
    assert (folder / "out.csv").read_text() == "mine\n"


def test_the_help_says_what_the_statuses_mean(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` lists the options and the exit statuses."""
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    said = capsys.readouterr().out
    assert "exit status:" in said
    assert "130  interrupted" in said
