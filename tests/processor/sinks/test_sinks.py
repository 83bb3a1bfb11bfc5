"""Sinks: whole rows, fixed columns, from many threads, resumed after a kill at any byte."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import pytest

from wavetank.processor import ItemResult, LLMWorkItem, TokenUsage
from wavetank.processor.journal import Journal, fingerprint
from wavetank.processor.sinks import RESULT_COLUMNS, CallbackSink, CsvSink, JsonlSink, Sink, SinkError


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


@pytest.mark.parametrize("kind", OPEN)
def test_whatever_a_model_answers_can_be_written_and_resumed(path: Path, kind: str) -> None:
    """Bare carriage returns, halves of characters and very long texts come back, as ids, too."""
    rows = [{"id": f"{number}{text[:10]}", "text": text} for number, text in enumerate(ODD)]
    bound = csv.field_size_limit()
    with OPEN[kind](path) as sink:
        for row in rows:
            sink.append(row)
    before = path.read_bytes()
    with OPEN[kind](path, resume=True) as sink:
        assert [row["id"] for row in rows if not sink.has(row["id"])] == []
    assert path.read_bytes() == before
    assert csv.field_size_limit() == bound
    assert b"cut off \\ud83d" in before


@pytest.mark.parametrize("kind", OPEN)
def test_a_row_cut_at_any_byte_is_written_again_and_no_other(path: Path, kind: str) -> None:
    """Resumed on a file cut off anywhere, a sink keeps the whole rows and leaves none doubled or torn."""
    rows = [{"id": f"row-{n}", "text": f'é,\n"{n}"'} for n in range(3)]
    with OPEN[kind](path) as sink:
        for row in rows:
            sink.append(row)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with OPEN[kind](path, resume=True) as sink:
            missing = [row for row in rows if not sink.has(row["id"])]
            kept = whole[:cut].count(b'"\n' if kind == "csv" else b"}\n")
            # One whole row without a line end may be a file of the user: it is not removed.
            only_line = kind == "jsonl" and cut == whole.index(b"\n")
            assert len(missing) == 3 - kept - only_line
            for row in missing:
                sink.append(row)
        assert path.read_bytes() == whole, cut


@pytest.mark.parametrize("kind", OPEN)
def test_rows_that_are_to_come_again_are_removed(path: Path, kind: str) -> None:
    """With `keep`, the rows of other keys leave the file, in one step."""
    with OPEN[kind](path) as sink:
        for id in "abc":
            sink.append({"id": id, "text": id})
    with OPEN[kind](path, resume=True, keep=lambda id: id != "b") as sink:
        assert [sink.has(id) for id in "abc"] == [True, False, True]
        sink.append({"id": "b", "text": "new"})
    assert [line.count("new") for line in path.read_text().splitlines()[-3:]] == [0, 0, 1]
    assert [file.name for file in path.parent.iterdir()] == ["results"]
    # Nothing stays: the header is written once all the same.
    with OPEN[kind](path, resume=True, keep=lambda _: False) as sink:
        sink.append({"id": "z", "text": "z"})
    assert len(path.read_text().splitlines()) == (2 if kind == "csv" else 1)


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("csv", "id,answer\na,b\n", "has the columns id, answer, not id, text"),
        ("csv", "id,text\na,b,c\nd,e\n", "has a row of 3 cells at line 2"),
        ("csv", 'id,text\n"a"b,c\nd,e\n', "name another file"),
        ("csv", "\udcff\n", "name another file"),
        ("jsonl", '{"id": "a"}\nhello\n', "has no object with 'id' at line 2"),
        ("jsonl", '{"name": "a"}\n', "has no object with 'id' at line 1"),
        ("csv", "a note without its end", "is no file of these results"),
        ("csv", '"a note\nwithout its end', "is no file of these results"),
        ("csv", "id,text and more", "is no file of these results"),
        ("jsonl", "a note without its end", "is no file of these results"),
        ("jsonl", '{"name": "a"}', "is no file of these results"),
        ("jsonl", '[{"id": "a"}]', "is no file of these results"),
    ],
)
def test_a_file_of_something_else_is_not_changed(path: Path, kind: str, content: str, said: str) -> None:
    """A file with other columns or of another kind is refused, and not a byte of it changes."""
    path.write_bytes(before := content.encode(errors="surrogateescape"))
    for resume, why in ((True, said), (False, "holds results: resume")):
        with pytest.raises(SinkError, match=why):
            OPEN[kind](path, resume=resume)
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
async def test_results_become_rows(path: Path) -> None:
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
    with CsvSink(path, resume=True) as sink:
        await sink.write(ITEM, good)
    assert len(csv_rows(path)) == 3
    lines = path.with_name("results.jsonl")
    for _ in range(2):
        with JsonlSink(lines, resume=True) as jsonl:
            await jsonl.write(ITEM, good)
    assert [row["value"] for row in map(json.loads, lines.read_text().splitlines())] == [{"text": "WAVE"}]


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
