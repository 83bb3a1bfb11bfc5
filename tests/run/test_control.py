"""A run that is changed and asked while it works."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from wavetank.cli import main
from wavetank.processor import LLMWorkItem
from wavetank.processor.journal import Journal
from wavetank.run import control
from wavetank.run.provider_strategy import ProviderStrategy

ROWS = 12
WORDS = ["run", "in.csv", "-o", "out.csv", "--provider", "ollama", "--model", "m", "--journal", "run.db"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run with twelve rows."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.csv").write_text("prompt\n" + "".join(f"Question {number}\n" for number in range(ROWS)))
    monkeypatch.setattr(control, "LOOK_EVERY_SECONDS", 0.005)
    # This process has the journal open itself, which the system does not show to itself.
    monkeypatch.setattr(control, "user_of", lambda path: os.getpid() if path.exists() else _missing())
    return tmp_path


def _missing() -> int:
    raise FileNotFoundError


class Rows:
    """Answers rows at once, except that those from the third on wait until something was done.

    Then each waits until there have been `most` under way.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, act: Callable[[], Any], *, most: int = 1) -> None:
        self.act = act
        self.most = most
        self.under_way = 0
        self.peak = 0
        self.sent = 0
        self.done: anyio.Event | None = None
        monkeypatch.setattr(ProviderStrategy, "execute", lambda _, item: self.execute(item))

    async def execute(self, item: LLMWorkItem[Any]) -> str:
        self.sent += 1
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        if self.sent == 3:
            self.done = anyio.Event()
            try:
                await anyio.to_thread.run_sync(self.act)
            finally:
                self.done.set()
        elif self.done is not None:
            await self.done.wait()
            while self.peak < self.most:
                await anyio.sleep(0.001)
        self.under_way -= 1
        return item.prompt.upper()


def test_a_run_takes_more_workers_and_a_bound(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints the status, the run uses the new numbers, and no file is left."""
    codes: list[int] = []
    modes: list[int] = []

    def act() -> None:
        write = control._write

        def noting(path: Path, message: Any) -> None:
            write(path, message)
            modes.append(stat.S_IMODE(path.stat().st_mode))

        monkeypatch.setattr(control, "_write", noting)
        codes.append(main(["ctl", "run.db", "-j", "4", "--max-requests", "9", "--rate", "6000/s"]))
        codes.append(main(["ctl", "run.db"]))

    rows = Rows(monkeypatch, act, most=4)
    assert main([*WORDS, "-j", "1"]) == 1
    said = capsys.readouterr().out
    assert codes == [0, 0]
    assert "2 of 12 rows" in said
    assert "of 4 requests under way" in said
    assert (rows.peak, rows.sent) == (4, 9)
    assert set(modes) == {0o600}
    assert "stopped early: its 9 requests were sent" in said
    assert sorted(path.name for path in folder.iterdir()) == ["in.csv", "out.csv", "run.db"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--rate", "gpt=5/s"], "nothing was changed: --rate gpt=…: no row goes to 'gpt'"),
        (["--rate", "5/s", "--rate", "6/s"], "--rate is given twice; give it once"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    error: str,
) -> None:
    """The command has the status 2 and the reason; the run continues."""
    assert folder
    codes: list[int] = []
    Rows(monkeypatch, lambda: codes.append(main(["ctl", "run.db", *words])))
    assert main([*WORDS, "-j", "1"]) == 0
    assert codes == [2]
    assert error in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ('{"id": "1", "parallel": "many"}\n', 0o600, "Expected `int | null`, got `str`"),
        ('{"id": "1", "parallel": 0}\n', 0o600, "workers must be at least 1"),
        ('{"id": "1", "bounds": {"tokens": -1}}\n', 0o600, "tokens must be above 0"),
        ('{"id": "1", "rates": {"requests_per_minute": {"": -1}}, "parallel": 7}\n', 0o600, "above 0"),
        ('{"id": "1", "parallel": 7}\n', 0o666, "only the user of the run may write it"),
        ("nonsense\n", 0o600, "JSON is malformed"),
    ],
)
def test_a_request_that_is_wrong_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, said: str
) -> None:
    """Also one that another user could have written: the answer says why, and the run continues."""
    answers: list[str] = []

    def act() -> None:
        # At once and with its mode: the run takes the file away as soon as it has read it.
        request = folder / "request"
        request.write_text(text)
        request.chmod(mode)
        request.rename(folder / "run.db.ctl")
        ended = threading.Event()
        while not (folder / "run.db.ctl-answer").exists():
            ended.wait(0.005)
        while not (data := (folder / "run.db.ctl-answer").read_text()).endswith("\n"):
            ended.wait(0.005)
        answers.append(data)

    rows = Rows(monkeypatch, act)
    assert main([*WORDS, "-j", "1"]) == 0
    assert said in answers[0]
    assert rows.peak == 1


def test_a_link_or_a_request_from_before_is_not_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lay there when the run began is removed unread."""
    (folder / "other").write_text('{"id": "1", "parallel": 9}\n')
    (folder / "run.db.ctl").symlink_to(folder / "other")
    rows = Rows(monkeypatch, lambda: None)
    assert main([*WORDS, "-j", "1"]) == 0
    assert rows.peak == 1
    assert (folder / "other").exists()
    assert not (folder / "run.db.ctl").is_symlink()


def test_no_run_no_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A journal that is missing, or that no run has open, is named with the fix; status 2."""
    path = tmp_path / "run.db"
    assert main(["ctl", str(path), "-j", "3"]) == 2
    assert f"{path} does not exist; name the --journal of a run" in capsys.readouterr().err
    Journal(path, resume=True).close()
    assert main(["ctl", str(path), "-j", "3"]) == 2
    assert f"no run has {path} open" in capsys.readouterr().err


def test_a_run_that_does_not_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command gives up after a while, and takes its request back; one at a time may ask."""
    Journal(folder / "run.db", resume=True).close()
    monkeypatch.setattr(control, "ANSWER_SECONDS", 0)
    assert main(["ctl", "run.db"]) == 2
    assert "the run did not answer within 0 s" in capsys.readouterr().err
    assert not (folder / "run.db.ctl").exists()
    (folder / "run.db.ctl").write_text("")
    assert main(["ctl", "run.db"]) == 2
    assert "another wavetank ctl waits" in capsys.readouterr().err


def test_a_signal_prints_the_status(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGUSR1 prints one line with rows, rate, and what is under way; the run continues."""
    assert folder
    printed = threading.Event()

    def act() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        # The handler runs on the event loop, which goes on meanwhile.
        printed.wait(0.2)

    Rows(monkeypatch, act)
    assert main([*WORDS, "-j", "1"]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "under way" in line]
    assert "2 of 12 rows, " in line
    assert line.endswith("1 of 1 requests under way")
