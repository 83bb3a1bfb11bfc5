"""The command around a run, in this process: signals, errors, exit statuses and arguments."""

from __future__ import annotations

import csv
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from wavetank.cli import main
from wavetank.processor import Bounds, LLMWorkItem
from wavetank.run.command_options import CommandOptions
from wavetank.run.provider_strategy import ProviderStrategy
from wavetank.run.row_processor import RunPace
from wavetank.run.run_arguments import DEFAULT_PARALLEL
from wavetank.run.run_errors import ApiError

from .output import rows

WORDS = ["run", "in.csv", "-o", "out.csv", "--model", "m", "--provider", "ollama"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run with five rows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("prompt\n" + "".join(f"Question {number}\n" for number in range(5)))
    return tmp_path


def interrupt(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """A provider that answers two rows; then the user presses Ctrl-C."""
    asked: list[str] = []

    async def execute(_: ProviderStrategy, item: LLMWorkItem[Any]) -> str:
        asked.append(item.id)
        if len(asked) == 3:
            signal.raise_signal(number)
        if len(asked) > 2:
            await anyio.sleep_forever()
        return item.prompt.upper()

    monkeypatch.setattr(ProviderStrategy, "execute", execute)


@pytest.mark.parametrize("removed_at", [1, 3, 5])
@pytest.mark.parametrize("journaled", [True, False], ids=["journal", "no journal"])
def test_an_output_that_is_removed_meanwhile_loses_nothing_with_a_journal(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    removed_at: int,
    journaled: bool,
) -> None:
    """The run ends with 3 and says so, and the line that it prints writes every answer."""
    asked: list[str] = []

    async def execute(_: ProviderStrategy, item: LLMWorkItem[Any]) -> str:
        asked.append(item.id)
        if len(asked) == removed_at:
            shutil.rmtree("out")
        return item.prompt.upper()

    monkeypatch.setattr(ProviderStrategy, "execute", execute)
    (folder / "out").mkdir()
    words = ["run", "in.csv", "-o", "out/out.csv", "--model", "m", "--provider", "ollama", "-j", "1"]
    words += ["--journal", "run.db"] if journaled else []
    assert main(words) == 3
    said = capsys.readouterr().out
    assert "out/out.csv was removed while it was written to" in said
    assert ("without a --journal nothing can be resumed" in said) is not journaled
    if journaled:
        (folder / "out").mkdir()
        resumes = said.splitlines()[-1].partition("wavetank run ")[2]
        assert main(["run", *shlex.split(resumes)]) == 0
        with (folder / "out" / "out.csv").open(newline="") as file:
            rows = {row["id"]: row["answer"] for row in csv.DictReader(file)}
        assert rows == {f"row-{number + 1}": f"QUESTION {number}" for number in range(5)}
        assert len(asked) == 5


def test_a_journal_that_is_removed_during_the_run_is_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answers are in the output; the status says that nothing can be resumed from it."""

    async def execute(_: ProviderStrategy, item: LLMWorkItem[Any]) -> str:
        (folder / "run.db").unlink(missing_ok=True)
        return item.prompt

    monkeypatch.setattr(ProviderStrategy, "execute", execute)
    assert main([*WORDS, "--journal", "run.db"]) == 3
    assert "the journal run.db was removed" in capsys.readouterr().out
    assert (folder / "out.csv").read_text().count("Question") == 10


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_in_good_order(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: signal.Signals,
    status: int,
) -> None:
    """What was answered is in the output, and the last line resumes the run."""
    interrupt(monkeypatch, number)
    assert main([*WORDS, "--journal", "my run.db", "-j", "1"]) == status
    said = capsys.readouterr().out
    assert "2 of 5 rows have answers" in said
    line = said.rstrip().rpartition("to go on: ")[2]
    assert line == f"wavetank {' '.join(WORDS)} --journal 'my run.db' -j 1 --resume"
    assert (folder / "out.csv").read_text().count("QUESTION") == 2


def test_a_run_without_a_journal_cannot_be_resumed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so when it was interrupted."""
    assert folder
    interrupt(monkeypatch, signal.SIGINT)
    assert main([*WORDS, "-j", "1"]) == 130
    assert "without a --journal nothing can be resumed" in capsys.readouterr().out


def test_an_output_that_cannot_be_written_stops_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The status is 3, and the command that is printed with the reason finishes the run."""

    async def execute(_: ProviderStrategy, item: LLMWorkItem[Any]) -> str:
        return item.prompt.upper()

    def full(handle: int, data: bytes) -> int:
        if b"QUESTION 3" in data:
            raise OSError(28, "No space left on device")
        return real(handle, data)

    real = os.write
    monkeypatch.setattr(ProviderStrategy, "execute", execute)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert main([*WORDS, "--journal", "run.db", "-j", "1"]) == 3
    said = capsys.readouterr().out
    assert "stopped: cannot write to out.csv: No space left on device" in said
    assert "to go on: wavetank run" in said
    assert main([*WORDS, "--journal", "run.db", "--resume"]) == 0
    assert (folder / "out.csv").read_text().count("QUESTION") == 5


def answer(monkeypatch: pytest.MonkeyPatch, *, fails: str) -> list[str]:
    """Have a provider that fails one row for good; what it is asked for is in the list."""
    asked: list[str] = []

    async def execute(_: ProviderStrategy, item: LLMWorkItem[Any]) -> str:
        asked.append(item.id)
        if item.id == fails:
            raise ApiError(400, {}, None, "no such thing")
        return item.prompt.upper()

    monkeypatch.setattr(ProviderStrategy, "execute", execute)
    return asked


def test_a_row_that_fails_stops_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its reason is in the output and in the report; `--retry-failed` tries it again, and only it."""
    (folder / "in.csv").write_text("id,prompt\ngood,wave\nbad,tank\nempty,\n")
    words = [*WORDS, "--journal", "run.db"]
    answer(monkeypatch, fails="bad")
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "1 of 3 rows have answers" in said
    assert re.search(r"1 row failed: status 400: no such thing at \d\d:\d\d", said)
    assert re.search(r"1 row failed: [^:]*: NoPrompt: the row has no prompt; nothing was sent at ", said)
    assert "to try the failed rows again: wavetank run" in said
    assert said.rstrip().endswith("--resume --retry-failed")
    assert {id: (row["answer"], row["error"], row["attempts"]) for id, row in rows(folder).items()} == {
        "good": ("WAVE", "", "1"),
        "bad": ("", "status 400: no such thing", "1"),
        "empty": ("", "the row has no prompt; nothing was sent", "0"),
    }
    asked = answer(monkeypatch, fails="nothing")
    assert main([*words, "--resume", "--retry-failed"]) == 1
    assert asked == ["bad"]
    assert {id: row["answer"] for id, row in rows(folder).items()} == {
        "good": "WAVE",
        "bad": "TANK",
        "empty": "",
    }
    assert main([*words, "--resume"]) == 1
    assert len(asked) == 1


def test_unexpected_exception_propagates_unwrapped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the program itself is no group, and the journal can be resumed after it."""

    async def prepare(_: ProviderStrategy) -> None:
        raise LookupError("no way in")

    with monkeypatch.context() as patch:
        patch.setattr(ProviderStrategy, "prepare", prepare)
        with pytest.raises(LookupError, match="no way in"):
            main([*WORDS, "--journal", "run.db"])
    answer(monkeypatch, fails="nothing")
    assert main([*WORDS, "--journal", "run.db", "--resume"]) == 0
    assert len(rows(folder)) == 5


@pytest.mark.parametrize("more", [["--journal", "run.db"], ["--scenario", "calm"]])
def test_log_records_stay_out_of_the_bar(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """Without a log handler the report has the decisions, and errors are printed after the bar is closed."""

    async def cleanup(_: ProviderStrategy) -> None:
        raise LookupError("no way out")

    assert folder
    answer(monkeypatch, fails="nothing")
    monkeypatch.setattr(ProviderStrategy, "cleanup", cleanup)
    monkeypatch.setattr(logging.getLogger("wavetank.processor"), "propagate", False)
    assert main([*WORDS, "--max-requests", "2", *more]) == 1
    said = capsys.readouterr()
    assert "stopped early: its 2 requests were sent" in said.out
    assert "stopped" not in said.err
    assert re.search(r"^wavetank: cleanup of .* failed;.*\n.*LookupError: no way out$", said.err, re.M | re.S)
    assert logging.getLogger("wavetank.processor").handlers == []


def test_half_a_character_does_not_stop_the_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers and errors that were cut off inside an emoji are written, reported and resumed."""

    async def execute(_: ProviderStrategy, item: LLMWorkItem[Any]) -> str:
        if item.id == "row-2":
            raise ApiError(400, {}, None, "no such \ud83d")
        return "cut off \ud83d"

    monkeypatch.setattr(ProviderStrategy, "execute", execute)
    for more, said in ([], "status 400: no such \\ud83d at "), (["--resume"], "5 of them in earlier runs"):
        assert main([*WORDS, "--journal", "run.db", *more]) == 1
        assert said in capsys.readouterr().out
        assert rows(folder)["row-1"]["answer"] == "cut off \\ud83d"


def test_rows_that_are_tried_again_come_in_their_turn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `--order input`, also the rows after one that is tried again leave the output and come back."""
    words = [*WORDS, "--journal", "run.db", "--order", "input"]
    answer(monkeypatch, fails="row-2")
    assert main(words) == 1
    assert list(rows(folder)) == [f"row-{number}" for number in range(1, 6)]
    asked = answer(monkeypatch, fails="nothing")
    assert main([*words, "--resume", "--retry-failed"]) == 0
    assert asked == ["row-2"]
    assert list(rows(folder)) == [f"row-{number}" for number in range(1, 6)]
    assert all(row["answer"] for row in rows(folder).values())


def test_one_call_before_the_rest_says_until_when(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With `--preflight` a limited account sends no row, and the run goes when the call is answered."""
    refuses = [True]
    asked: list[str] = []

    async def execute(_: ProviderStrategy, item: LLMWorkItem[Any]) -> str:
        asked.append(item.id)
        if refuses[0]:
            raise ApiError(429, {"retry-after": "3600"}, None, "slow down")
        return item.prompt.upper()

    monkeypatch.setattr(ProviderStrategy, "execute", execute)
    words = [*WORDS, "--preflight", "--journal", "run.db"]
    assert main(words) == 2
    assert "not started: limited until " in capsys.readouterr().err
    assert [file.name for file in folder.iterdir()] == ["in.csv"]
    refuses[0] = False
    assert main(words) == 0
    assert asked == ["preflight", "preflight", *(f"row-{number}" for number in range(1, 6))]
    assert (folder / "out.csv").read_text().count("QUESTION") == 5


def test_pace_and_bounds_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates are taken a minute, and what is not given is no limit."""
    seen: list[RunPace] = []
    models: list[object] = []

    def run(asked: CommandOptions, *_: object) -> int:
        seen.append(asked.pace)
        models.append(asked.per_model)
        return 0

    monkeypatch.setattr("wavetank.run.command.run", run)
    assert folder
    assert main(WORDS) == 0
    words = [
        "--rate=10/s",
        "--token-rate=90_000/m",
        "-j7",
        "--order=input",
        "--fail-fast",
        "--max-seconds=60",
    ]
    bounds = ["--max-requests=5", "--max-total-tokens=100", "--max-cost=2.5"]
    prices = ["--price-input=2.5", "--price-output=10", "--on-quota=wait"]
    assert main([*WORDS, *words, *bounds, *prices]) == 0
    assert seen[0] == RunPace(parallel=DEFAULT_PARALLEL)
    assert seen[1] == RunPace(
        parallel=7,
        bounds=Bounds(seconds=60.0, requests=5, tokens=100, cost=2.5),
        on_quota="wait",
        fail_fast=True,
        order="input",
    )
    assert models[0] == {"--rate": {}, "--token-rate": {}, "--price-input": {}, "--price-output": {}}
    assert models[1] == {
        "--rate": {"": 600.0},
        "--token-rate": {"": 90_000.0},
        "--price-input": {"": 2.5},
        "--price-output": {"": 10.0},
    }


@pytest.mark.parametrize("rate", ["10", "x/s", "-1/m", "10/h", "inf/s"])
def test_a_rate_needs_a_number_and_a_unit(
    folder: Path, capsys: pytest.CaptureFixture[str], rate: str
) -> None:
    """Anything else ends with the usage and an example."""
    assert folder
    with pytest.raises(SystemExit):
        main([*WORDS, f"--rate={rate}"])
    assert "such as 10/s or 600/m" in capsys.readouterr().err


def test_an_input_column_that_the_output_needs_is_an_error(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run does not start, and no file is made."""
    (folder / "in.csv").write_text("prompt,answer\nx,y\n")
    assert main([*WORDS, "--journal", "run.db"]) == 2
    assert "has a column 'answer', which the output needs" in capsys.readouterr().err
    (folder / "in.csv").write_text("prompt,id,key\nx,y,z\n")
    assert main([*WORDS, "--id-column", "key"]) == 2
    assert "has a column 'id', which the output needs" in capsys.readouterr().err
    assert [file.name for file in folder.iterdir()] == ["in.csv"]


def test_a_run_that_is_refused_leaves_the_files_it_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only files that it made itself are removed, and one file is not taken for two."""
    answer(monkeypatch, fails="nothing")
    assert main([*WORDS, "--journal", "out.csv"]) == 2
    assert "--journal and --output are the same file" in capsys.readouterr().err
    assert [file.name for file in folder.iterdir()] == ["in.csv"]
    (folder / "out.csv").write_text("something else\n")
    assert main([*WORDS, "--journal", "run.db", "--resume"]) == 2
    assert (folder / "out.csv").read_text() == "something else\n"
    (folder / "out.csv").unlink()
    assert main([*WORDS, "--journal", "run.db"]) == 0
    before = (folder / "run.db").read_bytes()
    assert main([*WORDS, "--journal", "run.db"]) == 2
    assert "holds a run: resume it" in capsys.readouterr().err
    assert (folder / "run.db").read_bytes() == before


@pytest.mark.parametrize("more", [[], ["--scenario", "calm"]])
def test_a_missing_library_is_an_error_before_any_file_is_created(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    """The words name the extra, and no file is left behind."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    assert main([*WORDS, *more]) == 2
    assert "pip install 'wavetank[run]'" in capsys.readouterr().err
    assert [file.name for file in folder.iterdir()] == ["in.csv"]


def test_parsing_the_arguments_imports_nothing_heavy() -> None:
    """They are parsed, also for their help, without the processor and its libraries."""
    script = "import sys; from wavetank import cli; cli._parser('run'); print([*sys.modules])"
    # With an option it is an interpreter of its own, not a fork that has loaded much.
    command = [sys.executable, "-s", "-c", script]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "'wavetank.run.run_arguments'" in loaded
    assert not any(f"'{name}'" in loaded for name in ("anyio", "asyncio", "httpx2", "wavetank.processor"))


@pytest.mark.parametrize(
    ("error", "words", "said", "most_requests"),
    [
        (ApiError(401, {}, None, "Incorrect API key provided"), [], "401: Incorrect API key provided", 3),
        (ApiError(404, {}, None, "no model 'm'"), [], "stopped early: status 404: no model 'm'", 3),
        (
            ConnectionRefusedError(111, "refused"),
            ["--max-outage", "0"],
            "stopped early: outage: no request",
            8,
        ),
        (ApiError(502, {}, None, "bad gateway"), ["--max-outage", "0"], "last: status 502: bad gateway", 8),
    ],
    ids=["key", "model", "refused", "gateway"],
)
def test_a_provider_that_refuses_everything_stops_the_run(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    words: list[str],
    said: str,
    most_requests: int,
) -> None:
    """Status 3, open rows, the provider's words, and the line that is printed sends the rows."""
    (folder / "in.csv").write_text("prompt\n" + "".join(f"Question {number}\n" for number in range(60)))
    asked: list[str] = []
    answers = False

    async def execute(_: ProviderStrategy, item: LLMWorkItem[Any]) -> str:
        asked.append(item.id)
        await anyio.lowlevel.checkpoint()
        if not answers:
            raise error
        return item.prompt.upper()

    monkeypatch.setattr(ProviderStrategy, "execute", execute)
    assert main([*WORDS, "--journal", "run.db", "-j", "3", *words]) == 3
    printed = capsys.readouterr().out
    assert said in printed
    assert "0 of 60 rows have answers; " in printed
    assert len(asked) <= most_requests
    answers = True
    line = printed.rstrip().rpartition("to go on: ")[2]
    assert main(shlex.split(line)[1:]) == 0
    with (folder / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["error"], row["possibly_repeated"]) for row in rows] == [("", "")] * 60


@pytest.mark.parametrize("wrong", ["-1", "nan", "soon"])
def test_a_wrong_max_outage_is_a_usage_error(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the option and what can be given."""
    with pytest.raises(SystemExit):
        main([*WORDS, f"--max-outage={wrong}"])
    assert f"--max-outage: {wrong!r} is no time: give seconds from 0 on, or inf" in capsys.readouterr().err
