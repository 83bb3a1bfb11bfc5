"""A sink whose file ends with a whole row, also after a failed write."""

from __future__ import annotations

import os
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Self

from ..items import ItemResult, LLMWorkItem
from ..journal import Journal

Row = Mapping[str, Any]
MakeRow = Callable[[LLMWorkItem[Any], ItemResult[Any]], Row]


class SinkError(Exception):
    """A sink cannot write a row, or its file is a file of something else; the text says what to do."""


class FileSink(ABC):
    """A sink that appends each result as a whole row to a file.

    It may be used from several threads, and as a context manager.
    """

    def __init__(
        self, path: str | Path, *, row: MakeRow, key: str, journal: Journal | None, earlier: Iterable[Row]
    ) -> None:
        self._path = Path(path)
        self._row = row
        self._key = key
        self._lock = threading.Lock()
        self._handle: int | None = None
        self._rows = 0
        self._earlier_keys: set[str] = set()
        head = self._head()
        # A journal in which nothing was done yet is not that of the rows in the file.
        resumes = journal is not None and journal.status().status != "new"
        with _os_errors_named(self._path):
            size = self._path.stat().st_size if self._path.exists() else 0
            if size:
                self._refuse_other_file()
            if size > len(head) and not resumes:
                raise SinkError(
                    f"{self._path} holds results: resume their run with its journal, or name another file"
                )
            self._create(self._path.resolve(), head, earlier if resumes else (), replace=size > 0)

    def __repr__(self) -> str:
        state = "closed" if self._handle is None else "open"
        return f"<{type(self).__name__} {str(self._path)!r}, {state}, {self._rows} rows written>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def write(self, item: LLMWorkItem[Any], result: ItemResult[Any]) -> None:
        """Append the row of a result, unless it is one of the `earlier` rows."""
        if item.id not in self._earlier_keys:
            self.append(self._row(item, result))

    def append(self, row: Row) -> None:
        """Append one row; if that fails, the part that was written is removed.

        Raises:
            SinkError: the row does not fit, the sink is closed, or the file cannot be written.
        """
        self._append(self._line(row))

    def check(self) -> None:
        """See that the file is still there.

        Raises:
            SinkError: it was removed, and its rows are lost.
        """
        with self._lock:
            if self._handle is not None:
                self._size(self._handle)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _head(self) -> bytes:
        """What every such file begins with."""
        return b""

    @abstractmethod
    def _line(self, row: Row) -> bytes: ...

    @abstractmethod
    def _is_such_file(self, file: BinaryIO) -> bool:
        """Whether an old file is one of these, by how it begins."""

    def _append(self, line: bytes) -> None:
        with self._lock:
            if self._handle is None:
                raise SinkError(f"a row came after {self._path} was closed")
            size = self._size(self._handle)
            try:
                _write_all(self._handle, line)
            except OSError as error:
                _remove_torn_row(self._handle, size)
                fix = "make room and resume, or name another file"
                raise SinkError(f"cannot write to {self._path}: {error.strerror}; {fix}") from error
            self._rows += 1

    def _size(self, handle: int) -> int:
        state = os.fstat(handle)
        if not state.st_nlink:
            raise SinkError(
                f"{self._path} was removed while it was written to, and its rows are gone with it; make its "
                "folder again and resume: a journal has every answer; without one, start again"
            )
        return state.st_size

    def _refuse_other_file(self) -> None:
        with self._path.open("rb") as file:
            if not self._is_such_file(file):
                raise SinkError(f"{self._path} is no file of these results; name another file, or remove it")

    def _create(self, path: Path, head: bytes, earlier: Iterable[Row], *, replace: bool) -> None:
        """Open the file, with its first rows; an old file stays as it is until the new one has them."""
        place = path.with_name(path.name + ".new") if replace else path
        truncate = os.O_TRUNC if replace else 0
        self._handle = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | truncate, 0o666)
        try:
            if head:
                self._append(head)
                self._rows = 0
            for row in earlier:
                self._earlier_keys.add(str(row[self._key]))
                self.append(row)
            if replace:
                shutil.copymode(path, place)
                place.replace(path)
        except BaseException:
            self.close()
            if replace:
                place.unlink(missing_ok=True)
            raise


def _write_all(handle: int, line: bytes) -> None:
    while line:
        line = line[os.write(handle, line) :]


def _remove_torn_row(handle: int, size: int) -> None:
    try:
        os.ftruncate(handle, size)
    except OSError:
        # The run that resumes writes the file again.
        return


@contextmanager
def _os_errors_named(path: Path) -> Iterator[None]:
    """Turn an `OSError` into a `SinkError` with the file's name."""
    try:
        yield
    except OSError as error:
        raise SinkError(
            f"cannot write to {path}: {error.strerror}; name a file that you may write"
        ) from error
