"""Sinks that write each result as a row of a file: CSV and JSON lines."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self, final

from ..errors.json_object import json_value
from ..items import ItemResult, LLMWorkItem
from .row_file import Keep, RowFile, SinkError

Row = Mapping[str, Any]
MakeRow = Callable[[LLMWorkItem[Any], ItemResult[Any]], Row]

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


class _FileSink(ABC):
    """The common part of sinks that write rows to a file."""

    def __init__(self, rows: RowFile, row: MakeRow) -> None:
        self._rows = rows
        self._row = row

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._rows}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Append the row of a result, unless the file held it when it was opened."""
        if not self.has(item.id):
            self.append(self._row(item, result))

    @abstractmethod
    def append(self, row: Row) -> None:
        """Append one row."""

    def has(self, key: str) -> bool:
        """Whether the file held a row with this key when it was opened."""
        return key in self._rows.keys

    def check(self) -> None:
        """See that the file is still there.

        Raises:
            SinkError: it was removed, and its rows are lost.
        """
        self._rows.check()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        self._rows.close()


@final
class CsvSink(_FileSink):
    """Writes results as CSV; a row is in the file when `append` or `write` returns.

    The columns are fixed. It may be used from several threads, and as a context manager.
    Half a character (a lone surrogate, as in an answer that was cut off) is written as its
    escape, `\\ud83d`, since UTF-8 cannot encode it.

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
        resume: continue a file that holds rows. A last row that was cut off is removed, and
            a result whose row is there is not written again.
        keep: on resuming, whether the row of a key stays; other rows are removed.

    Raises:
        SinkError: the file holds rows and `resume` is false, or it is not such a file; it is
            not changed.
        ValueError: two columns have the same name, or none is the key.
    """

    def __init__(
        self,
        path: str | Path,
        columns: Sequence[str] = RESULT_COLUMNS,
        *,
        row: MakeRow = result_row,
        key: str = "id",
        resume: bool = False,
        keep: Keep | None = None,
    ) -> None:
        self._columns = _checked_columns(columns, key)
        self._known = frozenset(self._columns)
        self._place = self._columns.index(key)
        header = _csv_line(self._columns)
        super().__init__(RowFile(Path(path), self._read, header, resume=resume, keep=keep), row)

    def append(self, row: Row) -> None:
        """Append one row.

        Raises:
            SinkError: its keys are not the columns, the sink is closed, or the file cannot be written.
        """
        if row.keys() != self._known:
            raise SinkError(self._difference(row))
        self._rows.append(_csv_line([_cell(row[column]) for column in self._columns]))

    def has(self, key: str) -> bool:
        """Whether the file held a row with this key when it was opened."""
        return super().has(_bytes_of(key).decode())

    def _difference(self, row: Row) -> str:
        missing = [column for column in self._columns if column not in row]
        surplus = [str(name) for name in row if name not in self._known]
        found = [
            f"{what} {', '.join(names)}" for what, names in (("no", missing), ("also", surplus)) if names
        ]
        return (
            f"a row for {self._rows.path} has {' and '.join(found)}; its columns are fixed: "
            f"{', '.join(self._columns)}. Give each row all of them, or open the sink with other columns"
        )

    def _read(self, lines: Iterator[bytes]) -> Iterator[str | None]:
        reader = csv.reader((line.decode() for line in lines), strict=True)
        header = next(reader, None)
        if header != list(self._columns):
            had = ", ".join(header) if header else "none"
            raise SinkError(f"has the columns {had}, not {', '.join(self._columns)}")
        yield None
        for cells in reader:
            if len(cells) != len(self._columns):
                raise SinkError(f"has a row of {len(cells)} cells at line {reader.line_num}")
            yield cells[self._place]


@final
class JsonlSink(_FileSink):
    """Writes results as JSON, one object a line; it is in the file when `append` or `write` returns.

    It may be used from several threads, and as a context manager.

    Args:
        path: the file; it is created if it is missing or empty.
        row: returns the row for an item and its result.
        key: the name of the value that identifies a row.
        resume: continue a file that holds rows. A last row that was cut off is removed, and
            a result whose row is there is not written again.
        keep: on resuming, whether the row of a key stays; other rows are removed.

    Raises:
        SinkError: the file holds rows and `resume` is false, or it is not such a file; it is
            not changed.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        row: MakeRow = result_row,
        key: str = "id",
        resume: bool = False,
        keep: Keep | None = None,
    ) -> None:
        self._key = key
        super().__init__(RowFile(Path(path), self._read, b"", resume=resume, keep=keep), row)

    def append(self, row: Row) -> None:
        """Append one row.

        Raises:
            SinkError: JSON cannot hold it, the sink is closed, or the file cannot be written.
        """
        try:
            line = json.dumps(dict(row)).encode()
        except (TypeError, ValueError) as error:
            raise SinkError(
                f"a row for {self._rows.path} cannot be written as JSON: {error}; give it strings, numbers, "
                "lists and dictionaries"
            ) from error
        self._rows.append(line + b"\n")

    def _read(self, lines: Iterator[bytes]) -> Iterator[str | None]:
        for number, line in enumerate(lines, start=1):
            row = json_value(line)
            if not isinstance(row, dict) or self._key not in row:
                raise SinkError(f"has no object with {self._key!r} at line {number}")
            yield str(row[self._key])


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
    return _bytes_of(text.getvalue().removesuffix("\r\n") + "\n")


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")
