"""Sinks that write each result as a row of a file: CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, final

from ..errors.json_object import json_value
from ..items import ItemResult, LLMWorkItem
from ..journal import Journal
from .file_sink import FileSink, MakeRow, Row, SinkError

RESULT_COLUMNS: Final = ("id", "value", "error", "reason", "attempts", "input_tokens", "output_tokens")
"""The names in a row that `result_row` makes."""


def result_row(item: LLMWorkItem[Any], result: ItemResult[Any]) -> dict[str, Any]:
    """The row of a result that file sinks write by default.

    >>> result_row(LLMWorkItem("a", "wave"), ItemResult("a", value="WAVE", attempts=1))["value"]
    'WAVE'
    """
    return {
        "id": item.id,
        "value": result.value,
        "error": None if result.error is None else f"{type(result.error).__name__}: {result.error}",
        "reason": result.reason,
        "attempts": result.attempts,
        "input_tokens": result.usage.input_tokens,
        "output_tokens": result.usage.output_tokens,
    }


@final
class CsvSink(FileSink):
    """Writes results as CSV; a row is in the file when `append` or `write` returns.

    The columns are fixed; `append` refuses a row with others. It may be used from several
    threads, and as a context manager. Half a character (a lone surrogate, as in an answer
    that was cut off) is written as its escape, `\\ud83d`, since UTF-8 cannot encode it.

    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "results.csv"
    >>> with CsvSink(path, ["id", "text"]) as sink:
    ...     sink.append({"id": "a", "text": "wave, tank"})
    >>> path.read_text().splitlines()
    ['id,text', 'a,"wave, tank"']
    >>> folder.cleanup()

    Args:
        path: the file; it is created if it is missing or empty.
        columns: the keys of every row, in order.
        row: returns the row for an item and its result.
        key: the column that identifies a row.
        journal: the store of the run. If it continues an earlier run, the rows in the file are
            removed: the run writes all outcomes in the journal again.
        earlier: with such a journal, the rows that replace those in the file, in one step;
            their results are not written again.

    Raises:
        SinkError: the file holds rows and the journal does not continue a run, or it is no such
            file; it is not changed.
        ValueError: two columns have the same name, or none is the key.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[str] = RESULT_COLUMNS,
        *,
        row: MakeRow = result_row,
        key: str = "id",
        journal: Journal | None = None,
        earlier: Iterable[Row] = (),
    ) -> None:
        self._columns = _checked_columns(columns, key)
        super().__init__(path, row=row, key=key, journal=journal, earlier=earlier)

    def _head(self) -> bytes:
        return _csv_line(self._columns)

    def _line(self, row: Row) -> bytes:
        if row.keys() != set(self._columns):
            raise SinkError(self._difference(row))
        return _csv_line([_cell(row[column]) for column in self._columns])

    def _is_such_file(self, file: BinaryIO) -> bool:
        head = self._head()
        return head.startswith(file.read(len(head)))

    def _difference(self, row: Row) -> str:
        missing = [column for column in self._columns if column not in row]
        surplus = [str(name) for name in row if name not in self._columns]
        found = [
            f"{what} {', '.join(names)}" for what, names in (("no", missing), ("also", surplus)) if names
        ]
        return (
            f"a row for {self._path} has {' and '.join(found)}; its columns are fixed: "
            f"{', '.join(self._columns)}. Give each row all of them, or open the sink with other columns"
        )


@final
class JsonlSink(FileSink):
    """Writes results as JSON, one object a line; it is in the file when `append` or `write` returns.

    `append` refuses a row that JSON cannot hold. It may be used from several threads, and as
    a context manager.

    Args:
        path: the file; it is created if it is missing or empty.
        row: returns the row for an item and its result.
        key: the name of the value that identifies a row.
        journal: the store of the run. If it continues an earlier run, the rows in the file are
            removed: the run writes all outcomes in the journal again.
        earlier: with such a journal, the rows that replace those in the file, in one step;
            their results are not written again.

    Raises:
        SinkError: the file holds rows and the journal does not continue a run, or it is no such
            file; it is not changed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        row: MakeRow = result_row,
        key: str = "id",
        journal: Journal | None = None,
        earlier: Iterable[Row] = (),
    ) -> None:
        super().__init__(path, row=row, key=key, journal=journal, earlier=earlier)

    def _line(self, row: Row) -> bytes:
        try:
            return json.dumps(dict(row)).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise SinkError(
                f"a row for {self._path} cannot be written as JSON: {error}; give it strings, numbers, "
                "lists and dictionaries"
            ) from error

    def _is_such_file(self, file: BinaryIO) -> bool:
        line = file.readline()
        row = json_value(line)
        if isinstance(row, dict):
            return self._key in row
        # The first row may have been cut off by a kill.
        return row is None and line.startswith(b"{") and not line.endswith(b"\n")


def _checked_columns(columns: Sequence[str], key: str) -> tuple[str, ...]:
    fixed = tuple(columns)
    if key not in fixed:
        raise ValueError(f"the columns need the key {key!r}; they are {', '.join(fixed) or 'none'}")
    twice = next((name for name in fixed if fixed.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"two columns have the name {twice!r}; give each its own")
    return fixed


def _cell(value: object) -> object:
    """Strings and numbers unchanged, and JSON for lists, tuples and dictionaries."""
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value, default=str)
    return value


def _csv_line(cells: Sequence[object]) -> bytes:
    # Python 3.11 quotes a line end in a cell only where it is one of the writer's own.
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return (text.getvalue().removesuffix("\r\n") + "\n").encode("utf-8", "backslashreplace")
