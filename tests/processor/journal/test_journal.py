"""The journal: what it stores, what it notices, and which files it does not change."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wavetank.processor import ItemResult, LLMWorkItem, TokenUsage
from wavetank.processor import journal as journals
from wavetank.processor.journal import (
    InputChanged,
    Journal,
    JournalError,
    JournalInUse,
    NotAJournal,
    Outcome,
    Pause,
    fingerprint,
)
from wavetank.processor.store import Store

from .by_hand import at_once, item, settle, start


def rows(*ids: str) -> list[tuple[str, bytes]]:
    """An input whose prompts are the ids."""
    return [(id, fingerprint(id)) for id in ids]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


def begun(path: Path, *ids: str) -> None:
    """A run with an outcome for the first item and a request under way for the second, then killed."""
    script = f"""
import os, signal
from wavetank.processor.journal import Journal, fingerprint
from by_hand import at_once, settle, start
journal = Journal({str(path)!r}, resume=True, settings={{"model": "m"}})
journal.register([(id, fingerprint(id)) for id in {ids!r}])
start(journal, {ids[0]!r})
settle(journal, {ids[0]!r}, {{"text": "wave"}})
start(journal, {ids[1]!r})
at_once(journal.paused("account", 4e9, 2))
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parent, check=False)
    assert killed.returncode == -9


def snapshot(path: Path) -> dict[str, bytes]:
    """The journal and the write-ahead log beside it, byte for byte."""
    return {
        file.name: file.read_bytes()
        for file in sorted(path.parent.iterdir())
        if not file.name.endswith("-shm")
    }


def resumed(path: Path) -> Journal:
    return Journal(path, resume=True, settings={"model": "m"})


def test_a_killed_run_loses_no_outcome_and_marks_what_was_under_way(path: Path) -> None:
    """After SIGKILL the outcome is there, the request under way is marked, the pause still lasts."""
    begun(path, "a", "b", "c")
    with resumed(path) as journal:
        assert journal.register(rows("a", "b", "c")) == 0
        kept = journal.outcome("a")
        assert kept == Outcome("a", {"text": "wave"}, attempts=1, input_tokens=3, output_tokens=4)
        assert journal.outcome("b") is None
        assert journal.repeats() == ("b",)
        assert journal.counts() == (1, 0, 2)
        assert journal.pauses() == {"account": Pause(4e9, 2)}
        start(journal, "b")
        start(journal, "b")
        settle(journal, "b", error=LookupError("no such model"), reason="status 404")
        outcome = journal.outcome("b")
        assert outcome is not None
        assert (outcome.attempts, outcome.possibly_repeated, outcome.value) == (2, True, None)


def test_a_refused_request_is_not_under_way(path: Path) -> None:
    """A request that was answered with a refusal is not marked as possibly repeated."""
    with Journal(path) as journal:
        journal.register(rows("a"))
        start(journal, "a")
        at_once(journal.ended(item("a"), 1))
    with Journal(path, resume=True) as journal:
        assert journal.repeats() == ()
        assert journal.counts() == (0, 0, 1)


def test_failed_items_are_tried_again_only_when_asked(path: Path) -> None:
    """`retry_failed` opens the items that failed and leaves the others."""
    with Journal(path) as journal:
        journal.register(rows("a", "b"))
        settle(journal, "a", "wave")
        settle(journal, "b", error=ValueError("boom"))
        at_once(journal.write(item("b"), ItemResult("b")))
    with Journal(path, resume=True) as journal:
        assert journal.counts() == (1, 1, 0)
        assert journal.was_delivered("b")
    with Journal(path, resume=True, retry_failed=True) as journal:
        assert journal.counts() == (1, 0, 1)
        assert not journal.was_delivered("b")
        assert [outcome.id for outcome in journal.outcomes()] == ["a"]


@pytest.mark.anyio
async def test_a_longer_pause_stands_and_pauses_add_up(path: Path) -> None:
    """A rate limit only grows; the count goes on over the runs."""
    with Journal(path) as journal:
        assert await journal.limited_until() == {}
        await journal.paused("account", 1000.0, 1)
        await journal.paused("account", 900.0, 2)
        await journal.paused("other", 5.0, 1)
    with Journal(path, resume=True) as journal:
        assert await journal.limited_until() == {"account": 1000.0, "other": 5.0}
        await journal.paused("account", 1100.0, 1)
        assert journal.pauses() == {"account": Pause(1100.0, 3), "other": Pause(5.0, 1)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("a", "x", "c"), "row 2, with the id 'x', was 'b'"),
        (("a", "b"), "row 3 is missing"),
        (("b", "a", "c"), "row 1, with the id 'b', was 'a'"),
    ],
)
def test_a_changed_input_names_its_first_row(path: Path, given: tuple[str, ...], said: str) -> None:
    """The error says which row differs and what to do."""
    with Journal(path) as journal:
        journal.register(rows("a", "b", "c"))
        with pytest.raises(InputChanged, match=said) as changed:
            journal.register(rows(*given))
        assert "start a new journal" in str(changed.value)
        assert journal.counts() == (0, 0, 3)


def test_a_changed_prompt_or_setting_is_noticed(path: Path) -> None:
    """Another text under the same id, other data, or another model are refused."""
    with Journal(path, settings={"model": "m"}) as journal:
        at_once(journal.recall([LLMWorkItem("a", "wave", {"row": 1})]))
    said = "row 1, with the id 'a', had another prompt or other data"
    with resumed(path) as journal, pytest.raises(InputChanged, match=said):
        at_once(journal.recall([LLMWorkItem("a", "wave", {"row": 2})]))
    with pytest.raises(InputChanged, match="model 'm', not 'n'"):
        Journal(path, resume=True, settings={"model": "n"})


def test_rows_may_be_added_at_the_end(path: Path) -> None:
    """An input that only grew is taken, and the new rows are counted."""
    with Journal(path) as journal:
        assert journal.register(rows("a")) == 1
        assert journal.register(rows("a", "b", "c")) == 2


def test_two_rows_with_one_id_are_refused(path: Path) -> None:
    """Nothing of such an input is kept."""
    with Journal(path) as journal:
        with pytest.raises(JournalError, match="two rows have the same id"):
            journal.register(rows("a", "b", "a"))
        assert journal.counts() == (0, 0, 0)


def test_an_item_the_journal_does_not_know_is_an_error(path: Path) -> None:
    """An outcome is never dropped in silence."""
    with Journal(path) as journal, pytest.raises(JournalError, match="holds no item 'a'"):
        settle(journal, "a", 1)


def test_an_id_that_cannot_be_written_is_an_error(path: Path) -> None:
    """Half a character has no place in the file; answers may have it all the same."""
    with Journal(path) as journal:
        with pytest.raises(JournalError, match=r"'a.ud83d' cannot be written .* half a character"):
            journal.register(rows("a\ud83d"))
        journal.register(rows("a"))
        settle(journal, "a", "cut off \ud83d")
        assert [outcome.value for outcome in journal.outcomes()] == ["cut off \ud83d"]


def test_a_value_that_cannot_be_written_says_what_to_return(path: Path) -> None:
    """What JSON cannot hold is refused by name; `encode` and `decode` take it."""
    with Journal(path) as journal:
        journal.register(rows("a"))
        with pytest.raises(JournalError, match=r"value of item 'a' .* encode="):
            settle(journal, "a", b"bytes")
    with Journal(path, resume=True, encode=bytes.hex, decode=bytes.fromhex) as journal:
        settle(journal, "a", b"bytes")
        kept = journal.outcome("a")
        assert kept is not None
        assert kept.value == b"bytes"


def test_a_run_is_not_overwritten_by_mistake(path: Path) -> None:
    """Without `resume` a file that holds a run is refused; an empty one is taken."""
    path.touch()
    Journal(path).close()
    with pytest.raises(JournalError, match="resume it"):
        Journal(path)
    Journal(path, resume=True).close()


def test_a_closed_journal_says_so(path: Path) -> None:
    """Closing twice is harmless; writing after it is an error."""
    journal = Journal(path)
    assert "open" in repr(journal)
    journal.close()
    journal.close()
    assert "closed" in repr(journal)
    with pytest.raises(JournalError, match="closed"):
        start(journal, "a")


@pytest.mark.anyio
async def test_the_items_of_a_run_are_recalled(path: Path) -> None:
    """A run that resumes gets value, error, usage and attempts of what is done, nothing of the rest."""
    items = [LLMWorkItem(id, f"prompt {id}", {"n": 1}) for id in "abc"]
    with Journal(path) as journal:
        assert isinstance(journal, Store)
        assert await journal.recall(items[:2]) == {}
        assert await journal.recall(items[2:]) == {}
        for item in items[:2]:
            await journal.started(item, 1)
        await journal.settled(items[0], ItemResult("a", value=[1], usage=TokenUsage(3, 4)))
        await journal.settled(items[1], ItemResult("b", error=ValueError("no"), reason="terminal"))
    with Journal(path, resume=True) as journal:
        found = await journal.recall(items)
        assert found["a"] == ItemResult("a", value=[1], attempts=1, usage=TokenUsage(3, 4))
        assert repr(found["b"].error) == "EarlierError('ValueError: no')"
        assert (found["b"].reason, found["b"].attempts) == ("terminal", 1)
        assert list(found) == ["a", "b"]


def test_two_runs_on_one_journal_are_refused(path: Path) -> None:
    """Neither this process nor another opens a journal that is open; a kill frees it."""
    script = f"""
from wavetank.processor.journal import Journal
journal = Journal({str(path)!r})
journal.sending if input("open") else None
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.read(4) == b"open"
        for _ in range(2):
            with pytest.raises(JournalInUse, match="in use by another process"):
                Journal(path, resume=True)
        other.kill()
    with Journal(path, resume=True) as journal, pytest.raises(JournalInUse, match="open in this process"):
        Journal(journal.path.parent / "." / "run.db", resume=True)
    Journal(path, resume=True).close()


def foreign_database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE items (id)")
    connection.commit()
    connection.close()


FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("id,prompt\na,wave\n"), "is no journal of wavetank"),
    "database": (foreign_database, "is a database, but no journal"),
    "magic alone": (lambda path: path.write_bytes(b"SQLite format 3\x00"), r"torn \(16 bytes\)"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_file_is_not_changed(path: Path, kind: str) -> None:
    """A file that is no journal is refused with the fix and not changed, with or without `resume`."""
    make, said = FOREIGN[kind]
    make(path)
    before = snapshot(path)
    for resume in (True, False):
        with pytest.raises(NotAJournal, match=said) as refused:
            Journal(path, resume=resume)
        assert "name another file" in str(refused.value)
    assert snapshot(path) == before


def torn(whole: bytes, kind: str) -> bytes:
    if kind == "page of noise":
        return whole[:4096] + b"\xff" * 4096 + whole[8192:]
    return whole[: int(len(whole) * float(kind))]


@pytest.mark.parametrize(
    ("kind", "killed"),
    [("0.1", False), ("0.5", False), ("0.9", False), ("page of noise", False), ("0.5", True)],
)
def test_a_torn_journal_is_not_changed(path: Path, kind: str, killed: bool) -> None:
    """A file that is cut short or overwritten in the middle is refused and not changed."""
    ids = [f"row-{n}" for n in range(600)]
    with Journal(path, settings={"model": "m"}) as journal:
        journal.register(rows(*ids))
    if killed:
        begun(path, *ids)
    path.write_bytes(torn(path.read_bytes(), kind))
    before = snapshot(path)
    with pytest.raises(NotAJournal, match=r"torn .* left as it is"):
        resumed(path)
    assert snapshot(path) == before
    # The failed attempt holds no lock.
    with pytest.raises(NotAJournal):
        resumed(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"value", b"valve"),
        (b"wavetank", b"wavedank"),
        (b"wavetank", b"\0\0\0\0\0\0\0\0"),
        (b"wavetank", b"\xff\xff\xff\xff\xff\xff\xff\xff"),
        (b"TABLE items", b"TABLE itams"),
    ],
)
def test_an_outcome_that_tore_is_noticed_before_anything_is_written(
    path: Path, old: bytes, new: bytes
) -> None:
    """What SQLite calls whole is held to the checksums of the outcomes."""
    with Journal(path, settings={"model": "m"}) as journal:
        journal.register(rows("a", "b"))
        settle(journal, "b", "wavetank")
        start(journal, "a")
    path.write_bytes(path.read_bytes().replace(old, new))
    before = snapshot(path)
    with pytest.raises(NotAJournal, match=r"torn .* left as it is; restore it from a copy"):
        resumed(path)
    assert snapshot(path) == before


def test_a_value_that_cannot_be_read_says_what_is_missing(path: Path) -> None:
    """A value that `decode` cannot read is not reported as a torn file."""
    with Journal(path, encode=str) as journal:
        journal.register(rows("a"))
        settle(journal, "a", "wave")
    with Journal(path, resume=True) as journal, pytest.raises(JournalError, match="give the journal the dec"):
        journal.outcome("a")


def test_a_log_without_its_journal_is_not_thrown_away(path: Path) -> None:
    """SQLite would drop it: what was written last may be in it."""
    begun(path, "a", "b")
    log = path.with_name("run.db-wal").read_bytes()
    path.unlink()
    with pytest.raises(NotAJournal, match="put the journal back"):
        Journal(path, resume=True)
    assert path.with_name("run.db-wal").read_bytes() == log


def test_a_journal_of_a_newer_format_is_not_changed(path: Path) -> None:
    """A format this version does not know is not guessed at."""
    Journal(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(NotAJournal, match="newer wavetank"):
        Journal(path, resume=True)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """The error of the system has the file's name and the fix."""
    with pytest.raises(JournalError, match="check its folder"):
        Journal(tmp_path / "missing" / "run.db")
    with pytest.raises(JournalError, match="cannot be read"):
        Journal(tmp_path)


def test_a_file_that_cannot_be_written_any_more_is_an_error(path: Path) -> None:
    """A full disk stops the run with the journal's name, and what was kept before stays."""
    with Journal(path) as journal:
        journal.register(rows("a", "b"))
        settle(journal, "a", "wave")
        (pages,) = journal._file.query_one("PRAGMA page_count") or (0,)
        journal._file.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(JournalError, match=r"full.* space left"):
            settle(journal, "b", "w" * 100_000)
        assert journal.counts() == (1, 0, 1)
    with Journal(path, resume=True) as journal:
        assert journal.counts() == (1, 0, 1)


def test_a_kill_while_the_file_is_made_leaves_no_torn_file(path: Path) -> None:
    """At whichever step a process dies that makes a journal, the next one takes the file over."""
    script = f"""
import os, signal, sqlite3, sys
from wavetank.processor.journal import journal_file
from wavetank.processor.journal import Journal

real = journal_file._connect
def connect(path, options):
    connection = real(path, options)
    left = int(sys.argv[1])
    def step():
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    globals()["left"] = left
    connection.set_progress_handler(step, 1)
    return connection
journal_file._connect = connect
for n in range(0, 400, 16):
    child = os.fork()
    if not child:
        sys.argv[1:] = [str(n)]
        Journal({str(path)!r}, resume=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, (n, status)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
    with Journal(path, resume=True) as journal:
        assert journal.counts() == (0, 0, 0)


def test_a_fingerprint_repeats_in_every_process() -> None:
    """Fingerprints are kept in files: they must not hang on the process, the hash seed or the key order."""
    script = (
        "from wavetank.processor.journal import fingerprint as f; print(f('wave', {'b': 1, 'a': [2]}).hex())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7"}
    other = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert other.stdout.strip() == fingerprint("wave", {"a": [2], "b": 1}).hex()
    assert fingerprint("wave", object()) == fingerprint("wave", object()) != fingerprint("wave")
    assert journals.__all__ == sorted(journals.__all__)
