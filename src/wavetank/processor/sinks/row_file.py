"""A file of rows that ends with a whole row at any time, whoever is killed or fails in between."""

from __future__ import annotations

import csv
import io
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

LONGEST_CELL: Final = 1 << 30
"""In characters; the csv module's own bound of 128 KiB is below many an answer."""

_csv_bound: Final = threading.Lock()

Keep = Callable[[str], bool]
Read = Callable[[Iterator[bytes]], Iterator[str | None]]
"""Lines in; for each whole row its key, or `None` for one without, such as a header."""


class SinkError(Exception):
    """A sink that cannot take a row or whose file is not its own; the text says what to do."""


@final
class RowFile:
    """A file that ends with a whole row at any time, and the keys it held when it was opened."""

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
        self._guard = threading.Lock()
        self._rows = 0
        with _Named(path):
            old = path.exists() and path.stat().st_size > 0
            if old and not resume:
                raise SinkError(
                    f"{path} holds results: resume them (resume=True, or --resume), or name another file"
                )
            if old:
                old = self._take_up(read, keep, head)
            self._handle: int | None = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        if not old and head:
            self.append(head)
            self._rows = 0

    def __str__(self) -> str:
        return (
            f"{str(self.path)!r}, {'closed' if self._handle is None else 'open'}, {self._rows} rows written"
        )

    def append(self, line: bytes) -> None:
        """Add one whole row; if that fails, what was written of it is taken back."""
        with self._guard:
            if self._handle is None:
                raise SinkError(f"a row came after {self.path} was closed")
            state = os.fstat(self._handle)
            if not state.st_nlink:
                raise self._removed()
            size = state.st_size
            try:
                _write_all(self._handle, line)
            except OSError as error:
                _take_back(self._handle, size)
                mend = "make room and resume, or name another file"
                raise SinkError(f"cannot write to {self.path}: {error.strerror}; {mend}") from error
            self._rows += 1

    def check(self) -> None:
        """See that the file is still there.

        Raises:
            SinkError: somebody has removed it, and what was written is lost.
        """
        with self._guard:
            if self._handle is not None and not os.fstat(self._handle).st_nlink:
                raise self._removed()

    def _removed(self) -> SinkError:
        return SinkError(
            f"{self.path} was removed while it was written to, and its rows are gone with it; make its "
            "folder again and resume: a journal has every answer; without one, start again"
        )

    def close(self) -> None:
        """Close the file; a second time does nothing."""
        with self._guard:
            handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)

    def _take_up(self, read: Read, keep: Keep | None, head: bytes) -> bool:
        """Read the keys, and leave in the file the whole rows that are to stay; whether any line stays."""
        kept: list[tuple[int, int]] = []
        whole = 0
        with self.path.open("rb") as file, _long_cells():
            for key, start, end in _spans(self.path, file, read):
                whole = end
                if key is None or keep is None or keep(key):
                    kept.append((start, end))
                    if key is not None:
                        self.keys.add(key)
        if whole == 0 and self._ends_whole(read, head):
            return self._take_up(read, keep, head)
        if sum(end - start for start, end in kept) < whole:
            self._rewrite(kept)
        elif whole < self.path.stat().st_size:
            os.truncate(self.path, whole)
        return bool(kept)

    def _ends_whole(self, read: Read, head: bytes) -> bool:
        """End the one line that the file holds, if it is a whole row; whether it was.

        Raises:
            SinkError: it is nothing of ours.
        """
        torn = self.path.read_bytes()
        if head.startswith(torn):
            return False
        whole = None if head else _whole_row(read, torn)
        if whole is None:
            raise SinkError(f"{self.path} is no file of these results; name another file, or remove it")
        if whole:
            with self.path.open("ab") as file:
                file.write(b"\n")
        return whole

    def _rewrite(self, kept: list[tuple[int, int]]) -> None:
        """Put the rows that stay into a new file and change it for the old one in one step."""
        fresh = self.path.with_name(self.path.name + ".new")
        with self.path.open("rb") as old, fresh.open("wb") as new:
            for start, end in kept:
                old.seek(start)
                new.write(old.read(end - start))
        fresh.replace(self.path)


def _spans(path: Path, file: io.BufferedReader, read: Read) -> Iterator[tuple[str | None, int, int]]:
    """The key, start and end of each whole row; a last one that was cut off is left out."""
    taken, ended = 0, False

    def lines() -> Iterator[bytes]:
        nonlocal taken, ended
        for line in file:
            # Only a line that was cut off lacks its end.
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
        # Inside quotes at the end of the file: the rest of the row was cut off.
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
    """Let the csv module read cells of any length; its bound is one for the whole process."""
    with _csv_bound:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, LONGEST_CELL))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _whole_row(read: Read, line: bytes) -> bool | None:
    """Whether a line without its end is a whole JSON row or the beginning of one; `None` if it is neither."""
    if not line.startswith(b"{"):
        return None
    try:
        json.loads(line)
    except ValueError:
        return False
    try:
        return any(key is not None for key in read(iter([line])))
    except SinkError:
        return None


def _write_all(handle: int, line: bytes) -> None:
    while line:
        line = line[os.write(handle, line) :]


def _take_back(handle: int, size: int) -> None:
    try:
        os.ftruncate(handle, size)
    except OSError:
        # A later run finds the row that was cut off, and removes it.
        return


class _Named:
    """Turns what the system raises into a `SinkError` with the file's name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, exc_type: object, exc: BaseException | None, traceback: object) -> None:
        if isinstance(exc, OSError):
            raise SinkError(
                f"cannot write to {self._path}: {exc.strerror}; name a file in a folder of yours"
            ) from exc
