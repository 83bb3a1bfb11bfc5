"""Sinks: whole rows, fixed columns, from many threads, replaced after a kill at any byte."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from wavetank.processor import ItemResult, LLMWorkItem, TokenUsage
from wavetank.processor.journal import Journal, fingerprint
from wavetank.processor.sinks import (
    RESULT_COLUMNS,
    CallbackSink,
    CsvSink,
    JsonlSink,
    Sink,
    SinkError,
    result_row,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "results"


def csv_rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file, strict=True))


OPEN: dict[str, Callable[..., CsvSink | JsonlSink]] = {
    "csv": lambda path, **options: CsvSink(path, ["id", "text"], **options),
    "jsonl": JsonlSink,
}


@pytest.mark.parametrize("kind", OPEN)
def test_a_thousand_rows_from_twenty_threads_are_whole(path: Path, kind: str) -> None:
    """No row is torn, lost or doubled, and each is in the file when `append` returns."""
    text = 'wave,\n"tank" ' * 40

    def work(thread: int) -> None:
        for number in range(50):
            sink.append({"id": f"{thread}-{number}", "text": f"{thread}-{number}{text}"})

    with OPEN[kind](path) as sink, ThreadPoolExecutor(20) as threads:
        list(threads.map(work, range(20)))
        # Nothing is left in a buffer that `close` would have to write.
        found = path.read_text()
    assert path.read_text() == found
    if kind == "csv":
        rows = csv_rows(path)
        assert rows.pop(0) == ["id", "text"]
    else:
        rows = [[row["id"], row["text"]] for row in map(json.loads, found.splitlines())]
    assert sorted(id for id, _ in rows) == sorted(f"{t}-{n}" for t in range(20) for n in range(50))
    assert all(written == id + text for id, written in rows)


@pytest.mark.parametrize("kind", OPEN)
def test_closing_twice_is_harmless_and_writing_after_it_is_an_error(path: Path, kind: str) -> None:
    """A closed sink takes no row and says so."""
    sink = OPEN[kind](path)
    assert "open" in repr(sink)
    sink.append({"id": "a", "text": "wave"})
    sink.close()
    sink.close()
    assert "closed" in repr(sink)
    with pytest.raises(SinkError, match="was closed"):
        sink.append({"id": "b", "text": "tank"})
    assert b"tank" not in path.read_bytes()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": "a"}, "has no text;"),
        ({"id": "a", "text": "", "cost": 1}, "has also cost;"),
        ({"id": "a", "txt": ""}, "has no text and also txt;"),
    ],
)
def test_a_row_with_other_columns_is_refused(path: Path, row: dict[str, Any], said: str) -> None:
    """The error names what differs and the columns that are fixed; nothing is written."""
    with CsvSink(path, ["id", "text"]) as sink, pytest.raises(SinkError, match=said) as refused:
        sink.append(row)
    assert "fixed: id, text" in str(refused.value)
    assert csv_rows(path) == [["id", "text"]]


def test_columns_need_the_key_and_names_of_their_own() -> None:
    """Columns that do not identify rows are refused at once."""
    with pytest.raises(ValueError, match="need the key 'id'"):
        CsvSink("unused", ["name"])
    with pytest.raises(ValueError, match="two columns have the name 'a'"):
        CsvSink("unused", ["id", "a", "a"])


def test_a_value_that_json_cannot_hold_is_an_error(path: Path) -> None:
    """A value of a type of its own is refused by name, and nothing is written."""
    with JsonlSink(path) as sink, pytest.raises(SinkError, match="cannot be written as JSON"):
        sink.append({"id": "a", "text": object()})
    assert path.read_bytes() == b""


CONTROLS = ["one\rtwo", "one\r", "one\r\ntwo", "a\0b\u2028\x85\x1c"]
ODD = [*CONTROLS, "cut off \ud83d", "w" * 140_000, '"', "\\", ""]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """The journal of a run that has begun."""
    with Journal(tmp_path / "run.db") as journal:
        anyio.run(journal.run_ended, None)
        yield journal


@pytest.mark.parametrize("kind", OPEN)
def test_every_text_of_a_model_can_be_written(path: Path, kind: str) -> None:
    """Bare carriage returns, halves of characters and very long texts come back, as ids, too."""
    rows = [{"id": f"{number}{text[:10]}", "text": text} for number, text in enumerate(ODD)]
    with OPEN[kind](path) as sink:
        for row in rows:
            sink.append(row)
    if kind == "csv":
        bound = csv.field_size_limit(1 << 20)
        found = [dict(zip(("id", "text"), row, strict=True)) for row in csv_rows(path)[1:]]
        csv.field_size_limit(bound)
        # UTF-8 cannot encode half a character.
        rows = [{name: text.replace("\ud83d", "\\ud83d") for name, text in row.items()} for row in rows]
    else:
        found = [json.loads(line) for line in path.read_text().splitlines()]
    assert found == rows


@pytest.mark.parametrize("kind", OPEN)
def test_a_file_cut_off_at_any_byte_is_replaced(path: Path, kind: str, journal: Journal) -> None:
    """With its journal, a file that ends anywhere becomes one of the earlier rows, with its permissions."""
    rows = [{"id": f"row-{n}", "text": f'é,\n"{n}"'} for n in range(3)]
    with OPEN[kind](path) as sink:
        for row in rows:
            sink.append(row)
    path.chmod(0o640)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with OPEN[kind](path, journal=journal, earlier=rows[:2]) as sink:
            sink.append(rows[2])
        assert path.read_bytes() == whole, cut
    assert path.stat().st_mode & 0o777 == 0o640
    assert {file.name for file in path.parent.iterdir()} >= {"results", "run.db"}
    assert not path.with_name("results.new").exists()


@pytest.mark.parametrize("kind", OPEN)
def test_earlier_rows_that_cannot_be_made_leave_the_old_file(path: Path, kind: str, journal: Journal) -> None:
    """The old file is replaced in one step or not at all, and a link to it stays a link."""
    with OPEN[kind](path) as sink:
        sink.append({"id": "a", "text": "wave"})
    before = path.read_bytes()
    link = path.with_name("link")
    link.symlink_to(path)

    def rows() -> Iterator[dict[str, Any]]:
        yield {"id": "b", "text": "tank"}
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        OPEN[kind](link, journal=journal, earlier=rows())
    assert path.read_bytes() == before
    with OPEN[kind](link, journal=journal, earlier=[{"id": "b", "text": "tank"}]):
        pass
    assert link.is_symlink()
    assert b"wave" not in path.read_bytes()
    assert b"tank" in path.read_bytes()
    assert not path.with_name("results.new").exists()


@pytest.mark.parametrize("kind", OPEN)
def test_rows_of_another_run_are_not_replaced(path: Path, tmp_path: Path, kind: str) -> None:
    """Without a journal, or with a new one, a file with rows is refused; one with a header only is not."""
    OPEN[kind](path).close()
    with Journal(tmp_path / "new.db") as new:
        with OPEN[kind](path, journal=new) as sink:
            sink.append({"id": "a", "text": "wave"})
        before = path.read_bytes()
        for journal in (None, new):
            with pytest.raises(SinkError, match="holds results: resume their run with its journal"):
                OPEN[kind](path, journal=journal)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("csv", "id,answer\na,b\n"),
        ("csv", "\udcff\n"),
        ("csv", "a note without its end"),
        ("csv", "id,text and more"),
        ("jsonl", '{"name": "a"}\n'),
        ("jsonl", "a note without its end"),
        ("jsonl", '{"name": "a"}'),
        ("jsonl", '[{"id": "a"}]'),
        ("jsonl", '{\n"id": "a"\n}'),
    ],
)
def test_a_file_of_something_else_is_not_changed(
    path: Path, kind: str, content: str, journal: Journal
) -> None:
    """A file with other columns or of another kind is refused, and not a byte of it changes."""
    path.write_bytes(before := content.encode(errors="surrogateescape"))
    for given in (None, journal):
        with pytest.raises(SinkError, match="is no file of these results"):
            OPEN[kind](path, journal=given)
    assert path.read_bytes() == before


def test_a_write_that_fails_is_taken_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a full disk in the middle of a row the rows before it are whole; the error names the fix."""
    real = os.write

    def write(handle: int, data: bytes) -> int:
        if data.startswith(b"ank"):
            raise OSError(28, "No space left on device")
        return real(handle, data[:3] if data.startswith(b"b,") else data)

    with CsvSink(path, ["id", "text"]) as sink:
        sink.append({"id": "a", "text": "wave"})
        monkeypatch.setattr(os, "write", write)
        with pytest.raises(SinkError, match=r"No space left.*make room"):
            sink.append({"id": "b", "text": "tank"})
        sink.append({"id": "c", "text": "wave"})
    assert csv_rows(path) == [["id", "text"], ["a", "wave"], ["c", "wave"]]


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    """What the system refuses comes with the file's name."""
    with pytest.raises(SinkError, match=r"missing.*No such file"):
        CsvSink(tmp_path / "missing" / "results.csv")


ITEM = LLMWorkItem(id="a", prompt="wave")


@pytest.mark.anyio
async def test_results_become_rows(path: Path, journal: Journal) -> None:
    """A processor hands over items and results; errors have their class, parts are written as JSON."""
    good = ItemResult("a", value={"text": "WAVE"}, attempts=2, usage=TokenUsage(3, 4))
    bad: ItemResult[Any] = ItemResult("b", error=ValueError("no"), attempts=1, reason="terminal")
    with CsvSink(path) as sink:
        assert isinstance(sink, Sink)
        await sink.write(ITEM, good)
        await sink.write(LLMWorkItem(id="b", prompt="tank"), bad)
    assert csv_rows(path) == [
        list(RESULT_COLUMNS),
        ["a", '{"text": "WAVE"}', "", "", "2", "3", "4"],
        ["b", "", "ValueError: no", "terminal", "1", "0", "0"],
    ]
    with CsvSink(path, journal=journal, earlier=[result_row(ITEM, good)]) as sink:
        await sink.write(ITEM, good)
    assert len(csv_rows(path)) == 2
    with JsonlSink(path.with_name("results.jsonl")) as jsonl:
        await jsonl.write(ITEM, good)
    assert json.loads(path.with_name("results.jsonl").read_text())["value"] == {"text": "WAVE"}


@pytest.mark.anyio
async def test_a_callback_gets_each_result_once_per_journal(path: Path) -> None:
    """Sync or async, it is called; what the journal notes as handed over is not handed over again."""
    received: list[str] = []

    async def listen(item: LLMWorkItem[Any], _: ItemResult[Any]) -> None:
        await anyio.lowlevel.checkpoint()
        received.append(item.id)

    result = ItemResult("a", value=1)
    await CallbackSink(lambda item, _: received.append(item.id)).write(ITEM, result)
    with Journal(path) as journal:
        journal.register([("a", fingerprint("wave"))])
        await journal.settled(ITEM, result)
        sinks: list[Sink] = [CallbackSink(listen, journal=journal), journal]
        for _ in range(2):
            for sink in sinks:
                await sink.write(ITEM, result)
    assert received == ["a", "a"]
    assert "listen" in repr(sinks[0])
