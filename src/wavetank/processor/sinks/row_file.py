"""A file of rows that ends with a whole row, also after a kill or a failed write."""

from __future__ import annotations

import csv
import io
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, final

from ..errors.json_object import json_value

LONGEST_CELL: Final = 1 << 30
"""In characters; many answers are longer than the csv module's own bound of 128 KiB."""

_csv_limit_lock: Final = threading.Lock()

Keep = Callable[[str], bool]
Read = Callable[[Iterator[bytes]], Iterator[str | None]]
"""Reads lines and returns the key of each whole row, or `None` for a row without a key, such as a header."""


class SinkError(Exception):
    """A sink cannot write a row, or its file is a file of something else; the text says what to do."""


@final
class RowFile:
    """A file that ends with a whole row, and the keys of the rows that it held when it was opened."""

    def __init__(
        self,
        path: Path,
        read: Read,
        head: bytes,
        *,
        resume: bool,
        keep: Keep | None,
    ) -> None:
        self.path = path
        self.keys: set[str] = set()
        self._lock = threading.Lock()
        self._rows = 0
        with _os_errors_named(path):
            old = path.exists() and path.stat().st_size > 0
            if old and not resume:
                raise SinkError(
                    f"{path} holds results: resume them (resume=True, or --resume), or name another file"
                )
            if old:
                old = self._read_old_rows(read, keep, head)
            self._handle: int | None = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        if not old and head:
            self.append(head)
            self._rows = 0

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

    def _read_old_rows(self, read: Read, keep: Keep | None, head: bytes) -> bool:
        """Read the keys, and remove torn rows and those that must not stay; return whether any row stays."""
        kept: list[tuple[int, int]] = []
        whole = 0
        with self.path.open("rb") as file, _long_cells():
            for key, start, end in _row_spans(self.path, file, read):
                whole = end
                if key is None or keep is None or keep(key):
                    kept.append((start, end))
                    if key is not None:
                        self.keys.add(key)
        if whole == 0 and self._completes_only_line(read, head):
            return self._read_old_rows(read, keep, head)
        if sum(end - start for start, end in kept) < whole:
            self._rewrite(kept)
        elif whole < self.path.stat().st_size:
            os.truncate(self.path, whole)
        return bool(kept)

    def _completes_only_line(self, read: Read, head: bytes) -> bool:
        """Add the line end to the only line of the file, if it is a whole row; return whether it was.

        Raises:
            SinkError: the line is not from such a file.
        """
        line = self.path.read_bytes()
        if head.startswith(line):
            return False
        if not head and line.startswith(b"{"):
            if json_value(line) is None:
                return False
            with suppress(SinkError):
                next(read(iter([line])))
                with self.path.open("ab") as file:
                    file.write(b"\n")
                return True
        raise SinkError(f"{self.path} is no file of these results; name another file, or remove it")

    def _rewrite(self, kept: list[tuple[int, int]]) -> None:
        """Write the rows that stay to a new file, and replace the old one with it in one step."""
        fresh = self.path.with_name(self.path.name + ".new")
        with self.path.open("rb") as old, fresh.open("wb") as new:
            for start, end in kept:
                old.seek(start)
                new.write(old.read(end - start))
        fresh.replace(self.path)


def _row_spans(path: Path, file: io.BufferedReader, read: Read) -> Iterator[tuple[str | None, int, int]]:
    """The key, start and end of each whole row; a last row that was cut off is left out."""
    taken, ended = 0, False

    def lines() -> Iterator[bytes]:
        nonlocal taken, ended
        for line in file:
            # Only a line that was cut off has no line end.
            if not line.endswith(b"\n"):
                break
            taken += len(line)
            yield line
        ended = True

    start = 0
    try:
        for key in read(lines()):
            yield key, start, taken
            start = taken
    except csv.Error as error:
        # At the end of the file inside quotes: the rest of the row was cut off.
        if not ended:
            raise SinkError(f"{path} is no file of these results: {error}; name another file") from error
    except (SinkError, UnicodeDecodeError) as error:
        # A first line that was cut off is not read.
        if start or taken or not ended:
            raise SinkError(
                f"{path} is no file of these results, it {error}; name another file, or remove it"
            ) from error


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let the csv module read cells of any length; its bound is a global of the process."""
    with _csv_limit_lock:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, LONGEST_CELL))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _write_all(handle: int, line: bytes) -> None:
    while line:
        line = line[os.write(handle, line) :]


def _remove_torn_row(handle: int, size: int) -> None:
    try:
        os.ftruncate(handle, size)
    except OSError:
        # A later run removes the row that was cut off.
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
