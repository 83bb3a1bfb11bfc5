"""What a journal says of its run: where it stands, and which limit it met; and the look from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from wavetank.cli import main
from wavetank.processor import (
    AgentFailed,
    Bounds,
    CallResult,
    LLMWorkItem,
    ParallelBatchProcessor,
    RateInfo,
)
from wavetank.processor.journal import (
    Journal,
    JournalError,
    JournalInUse,
    JournalView,
    NotAJournal,
    OpenRow,
    RunStatus,
    fingerprint,
    look_at_journal,
)
from wavetank.processor.store import RunRecord, Store

from .by_hand import at_once, settle, start

Call = Callable[[str], Awaitable[Any]]
LIMIT = "Rate limit from agent: You've hit your limit · resets 4pm (America/Los_Angeles)"


class Refused(Exception):
    """A refusal as a client raises it."""

    def __init__(self, status: int, retry_after: float | None = None, code: str | None = None) -> None:
        super().__init__(str(status))
        self.status, self.retry_after, self.code = status, retry_after, code


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


async def batch(journal: Journal, call: Call, *ids: str, **options: Any) -> None:
    """One batch with the journal as its store."""
    async with ParallelBatchProcessor(call, store=journal, workers=1, **options) as processor:
        for id in ids:
            await processor.add_work(LLMWorkItem(id, id))
        await processor.process_all()


async def well(prompt: str) -> str:
    return prompt.upper()


@pytest.mark.anyio
async def test_a_run_that_brought_every_item_home_is_finished(path: Path) -> None:
    """New, running, finished; an item that failed has its outcome, too."""

    async def call(prompt: str) -> str:
        assert journal.status().status == "running"
        if prompt == "b":
            raise Refused(400)
        return prompt

    with Journal(path) as journal:
        assert isinstance(journal, Store)
        assert isinstance(journal, RunRecord)
        assert journal.status() == RunStatus("new")
        await batch(journal, call, "a", "b")
        assert (journal.status().status, journal.status().reason) == ("finished", None)
    assert look_at_journal(path).status.status == "finished"


@pytest.mark.anyio
async def test_a_limit_is_kept_with_its_reason_and_source(path: Path) -> None:
    """The run is paused until it sends again; the next one knows what held the last one back."""
    seen: list[str] = []
    errors: list[Exception] = [Refused(429, 0.01)]

    async def call(prompt: str) -> str:
        if errors:
            raise errors.pop()
        seen.append(journal.status().status)
        return prompt

    def observe(decision: Any) -> None:
        if decision.kind == "retried":
            seen.append(journal.status().status)

    with Journal(path) as journal:
        await batch(journal, call, "a", observer=observe)
        (limit,) = journal.limits()
    assert seen == ["paused", "running"]
    assert (limit.scope, limit.reason, limit.source, limit.pause_count) == (
        "account",
        "status 429",
        "exception Refused",
        1,
    )
    assert limit.rate_limit_until is not None
    assert limit.met < limit.rate_limit_until < limit.met + 1
    with Journal(path, resume=True) as journal:
        assert journal.limits() == (limit,)


@pytest.mark.anyio
async def test_a_cancelled_run_is_stopped_and_its_limit_is_known(path: Path) -> None:
    """By the agent's own words, with where they stood; and the next run waits for the limit."""

    async def call(prompt: str) -> str:
        if prompt == "b":
            raise AgentFailed(-1, "", LIMIT)
        return prompt

    with Journal(path) as journal:
        with anyio.move_on_after(0.2) as scope:
            await batch(journal, call, "a", "b", "c")
        assert scope.cancelled_caught
        assert journal.status().status == "stopped"
        assert journal.status().reason == "it was cancelled"
    view = look_at_journal(path)
    assert (view.succeeded, view.failed, view.waiting, view.under_way) == (1, 0, 2, 0)
    assert view.oldest_open == OpenRow(2, "b", 1, under_way=False)
    (limit,) = view.limits
    assert limit.reason.startswith("plan limit, resets 20")
    assert limit.source == "stderr, exit code -1"
    with Journal(path, resume=True) as journal:
        assert (await journal.limited_until())["account"] == limit.rate_limit_until


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("options", "error", "reason"),
    [
        ({"bounds": Bounds(requests=1)}, None, "its 1 requests were sent"),
        ({"fail_fast": True}, Refused(400), "item 'a' failed: status 400"),
        ({}, Refused(429, code="insufficient_quota"), "not asked: status 429, insufficient_quota: used up"),
    ],
)
async def test_a_run_that_ends_early_is_stopped_and_says_why(
    path: Path, options: dict[str, Any], error: Exception | None, reason: str
) -> None:
    """A bound, the first failure, a spent quota: it has a limit without an end."""

    async def call(prompt: str) -> str:
        if error is not None:
            raise error
        return prompt

    with Journal(path) as journal:
        await batch(journal, call, "a", "b", "c", **options)
        assert journal.status().status == "stopped"
        assert journal.status().reason == reason
        for limit in journal.limits():
            assert (limit.reason, limit.rate_limit_until) == ("status 429, insufficient_quota: used up", None)


@pytest.mark.anyio
async def test_a_pause_stated_by_a_good_answer_has_its_source(path: Path) -> None:
    """No request was refused."""

    async def call(prompt: str) -> CallResult[str]:
        return CallResult(prompt, info=RateInfo(wait=0.01))

    with Journal(path) as journal:
        await batch(journal, call, "a")
        (limit,) = journal.limits()
    assert (limit.reason, limit.source) == ("a spent limit", "headers of an answer")


@pytest.mark.anyio
async def test_a_store_that_fails_at_the_end_ends_the_run_with_its_error(path: Path) -> None:
    """A run does not say that it is well when that could not be kept."""
    journal = Journal(path)

    async def call(prompt: str) -> str:
        return prompt

    async def close(_: Any) -> None:
        journal.close()

    with pytest.raises(JournalError, match="is closed"):
        await batch(journal, call, "a", on_result=close)


def test_a_journal_without_a_processor_has_a_status_too(path: Path) -> None:
    """Closing sets it: finished if every item has an outcome."""
    with Journal(path) as journal:
        journal.register([(id, fingerprint(id)) for id in "ab"])
        start(journal, "a")
        assert journal.status().status == "running"
        settle(journal, "a", 1)
        at_once(journal.paused("account", 4e9, 1))
        assert journal.status().status == "paused"
    with Journal(path, resume=True) as journal:
        assert journal.status().status == "stopped"
        start(journal, "b")
        settle(journal, "b", 2)
    assert look_at_journal(path).status.status == "finished"


HERE = Path(__file__).parent
"""Where the scripts find `by_hand`."""

KILLED = """
import os, signal, sys
from wavetank.processor.journal import Journal, fingerprint
from by_hand import at_once, settle, start
journal = Journal(sys.argv[1], settings={"model": "m"})
journal.register([(id, fingerprint(id)) for id in "abc"])
start(journal, "a"); settle(journal, "a", 1); start(journal, "b")
print("ready", flush=True)
sys.stdin.read()
"""


def bytes_of(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Each file with its content and the time of its last change."""
    return {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in sorted(folder.iterdir())}


def test_a_view_changes_nothing_during_a_run_and_after_a_kill(path: Path) -> None:
    """Not a byte of the file, its log or its folder; the process is named while it lives."""
    run = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        before = bytes_of(path.parent)
        view = look_at_journal(path)
        assert (view.status.status, view.used_by) == ("running", run.pid)
        os.kill(run.pid, signal.SIGKILL)
    assert bytes_of(path.parent) == before
    assert (view.rows, view.succeeded, view.under_way, view.waiting) == (3, 1, 1, 1)
    assert view.oldest_open == OpenRow(2, "b", 1, under_way=True)
    killed = look_at_journal(path)
    assert (killed.status.status, killed.status.reason, killed.used_by) == ("stopped", "it was cut off", None)
    assert bytes_of(path.parent) == before
    with Journal(path, resume=True, settings={"model": "m"}) as journal:
        assert journal.status().reason == "it was cut off"
        with pytest.raises(JournalInUse, match="open in this process"):
            look_at_journal(path)
    assert look_at_journal(path).possibly_repeated == 1


ENDS = KILLED + "journal.close()"


@pytest.mark.parametrize("copies", [1, 2])
def test_a_run_may_end_while_its_journal_is_copied(
    path: Path, copies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its log is gone then, after the file was copied, or after both were: the look begins again."""
    run = subprocess.Popen(
        [sys.executable, "-c", ENDS, str(path)],
        cwd=HERE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    copyfile, copied = shutil.copyfile, []

    def copy_and_end(source: Path, target: Path) -> object:
        done = copyfile(source, target)
        copied.append(source)
        if len(copied) == copies:
            run.communicate()
        return done

    with run:
        assert run.stdout is not None
        run.stdout.readline()
        monkeypatch.setattr(shutil, "copyfile", copy_and_end)
        view = look_at_journal(path)
    assert run.returncode == 0
    assert len(copied) > copies
    assert (view.rows, view.succeeded, view.under_way, view.used_by) == (3, 1, 1, None)


WRITES = """
import sys
from wavetank.processor.journal import journal_file
journal_file.CHECKPOINT_PAGES = 50
from wavetank.processor.journal import Journal, fingerprint
from by_hand import at_once, settle, start
journal = Journal(sys.argv[1])
ids = [str(n) for n in range(200)]
journal.register([(id, fingerprint(id)) for id in ids])
print("ready", flush=True)
for id in ids:
    start(journal, id); settle(journal, id, "x" * 5000)
"""


def test_each_view_of_a_journal_that_is_written_is_consistent(path: Path) -> None:
    """Also while the log moves into the file, many times over: what is seen only grows."""
    seen: list[int] = []
    run = subprocess.Popen(
        [sys.executable, "-c", WRITES, str(path)], cwd=HERE, stdout=subprocess.PIPE, text=True
    )
    with run:
        assert run.stdout is not None
        run.stdout.readline()
        while run.poll() is None:
            view = look_at_journal(path)
            assert view.under_way <= 1
            assert view.rows == 200
            seen.append(view.succeeded)
    assert seen == sorted(seen)
    assert run.returncode == 0
    assert look_at_journal(path).succeeded == 200


def spoil(path: Path, how: str) -> None:
    """Make of the file what is no journal."""
    ways: dict[str, Callable[[], object]] = {
        "missing": path.unlink,
        "empty": lambda: path.write_bytes(b""),
        "foreign": lambda: path.write_text("id,prompt\n" * 100),
        "cut off": lambda: path.write_bytes(path.read_bytes()[:-2000]),
        "head only": lambda: path.write_bytes(path.read_bytes()[:60]),
        "torn": lambda: path.write_bytes(path.read_bytes().replace(b"wave", b"tank")),
        "folder": path.unlink,
    }
    ways[how]()
    if how == "folder":
        path.mkdir()


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("missing", JournalError, "does not exist"),
        ("empty", JournalError, "is empty"),
        ("foreign", NotAJournal, "is no journal of wavetank"),
        ("cut off", NotAJournal, "is torn"),
        ("head only", NotAJournal, "is torn"),
        ("torn", NotAJournal, r"is torn \(row 1\)"),
        ("folder", JournalError, "cannot be read"),
    ],
)
def test_a_file_that_is_no_journal_is_named(
    path: Path, how: str, error: type[Exception], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """By its own path, in the library as on the command line, which ends with status 2."""
    with Journal(path) as journal:
        journal.register([("a", fingerprint("a"))])
        settle(journal, "a", "wave")
    spoil(path, how)
    with pytest.raises(error, match=said) as raised:
        look_at_journal(path)
    assert type(raised.value) is error
    assert main(["journal", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"wavetank: {raised.value}\n"
    assert str(path) in printed.err
    assert "/wavetank-" not in printed.err


def test_a_copy_that_cannot_be_made_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the journal and where there was no space."""
    Journal(path).close()

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(JournalError, match="No space left"):
        look_at_journal(path)


def seen_on_the_command_line(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["journal", *words]) == 0
    return capsys.readouterr().out


def test_the_command_says_counts_status_limit_and_oldest_open_row(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words, or as JSON with the same facts."""

    async def call(prompt: str) -> str:
        if prompt == "b":
            raise Refused(429, 0.01)
        return prompt

    async def run() -> None:
        with Journal(path, settings={"model": "m"}) as journal:
            await batch(journal, call, "a", "b", "c", max_rate_limit_retries=1, bounds=Bounds(requests=3))

    anyio.run(run)
    said = seen_on_the_command_line(capsys, str(path)).splitlines()
    assert said[0].startswith(f"{path}: stopped since ")
    assert said[0].endswith(": its 3 requests were sent")
    assert said[1] == "3 rows: 1 succeeded, 1 failed, 1 open, 0 of them under way"
    assert said[2] == "oldest open row: row 3, 'c', not sent yet"
    assert said[3].startswith("limit of account: status 429 (from exception Refused), met ")
    assert said[3].endswith("; 2 pauses")
    assert said[4] == "settings: model 'm'"
    values = json.loads(seen_on_the_command_line(capsys, str(path), "--json"))
    assert (values["status"], values["reason"]) == ("stopped", "its 3 requests were sent")
    assert (values["rows"], values["succeeded"], values["failed"], values["open"]) == (3, 1, 1, 1)
    assert values["oldest_open"] == {"row": 3, "id": "c", "requests": 0, "under_way": False}
    assert (values["limits"][0]["source"], values["limits"][0]["pause_count"]) == ("exception Refused", 2)
    assert {*JournalView.__dataclass_fields__} <= {*values}
