"""A file of rows that ends with a whole row, also after a failed write."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, final


class SinkError(Exception):
    """A sink cannot write a row, or its file is a file of something else; the text says what to do."""


@final
class RowFile:
    """A file to which whole rows are appended.

    Args:
        path: the file; it is created if it is missing or empty.
        head: the first line of every such file, or nothing.
        rows: the rows that replace those in the file, in one step; with `None` a file that holds
            rows is refused.
        is_such_file: whether an old file is one of these, by how it begins.

    Raises:
        SinkError: the file holds rows and must not be replaced; it is not changed.
    """

    def __init__(
        self,
        path: Path,
        head: bytes,
        rows: Iterable[bytes] | None,
        *,
        is_such_file: Callable[[BinaryIO], bool],
    ) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._rows = 0
        with _os_errors_named(path):
            size = path.stat().st_size if path.exists() else 0
            if size:
                _refuse_other_file(path, is_such_file)
            if size > len(head) and rows is None:
                raise SinkError(
                    f"{path} holds results: resume their run with its journal, or name another file"
                )
            self._handle: int | None = None
            self._create(path.resolve(), head, rows or (), replace=size > 0)

    def __str__(self) -> str:
        return (
            f"{str(self.path)!r}, {'closed' if self._handle is None else 'open'}, {self._rows} rows written"
        )

    def append(self, line: bytes) -> None:
        """Append one whole row; if that fails, the part that was written is removed."""
        with self._lock:
            if self._handle is None:
                raise SinkError(f"a row came after {self.path} was closed")
            state = os.fstat(self._handle)
            if not state.st_nlink:
                raise self._removed_error()
            size = state.st_size
            try:
                _write_all(self._handle, line)
            except OSError as error:
                _remove_torn_row(self._handle, size)
                fix = "make room and resume, or name another file"
                raise SinkError(f"cannot write to {self.path}: {error.strerror}; {fix}") from error
            self._rows += 1

    def check(self) -> None:
        """See that the file is still there.

        Raises:
            SinkError: it was removed, and its rows are lost.
        """
        with self._lock:
            if self._handle is not None and not os.fstat(self._handle).st_nlink:
                raise self._removed_error()

    def _removed_error(self) -> SinkError:
        return SinkError(
            f"{self.path} was removed while it was written to, and its rows are gone with it; make its "
            "folder again and resume: a journal has every answer; without one, start again"
        )

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _create(self, path: Path, head: bytes, rows: Iterable[bytes], *, replace: bool) -> None:
        """Open the file, with its first rows; an old file stays as it is until the new one has them."""
        place = path.with_name(path.name + ".new") if replace else path
        truncate = os.O_TRUNC if replace else 0
        self._handle = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT | truncate, 0o666)
        try:
            if head:
                self.append(head)
                self._rows = 0
            for row in rows:
                self.append(row)
            if replace:
                shutil.copymode(path, place)
                place.replace(path)
        except BaseException:
            self.close()
            if replace:
                place.unlink(missing_ok=True)
            raise


def _refuse_other_file(path: Path, is_such_file: Callable[[BinaryIO], bool]) -> None:
    with path.open("rb") as file:
        if not is_such_file(file):
            raise SinkError(f"{path} is no file of these results; name another file, or remove it")


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
