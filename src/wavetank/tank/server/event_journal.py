"""Where a server's events go: into memory, or into a file so that memory stays flat."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol, final

from ...events import Event, EventLog, Header, RunEnd, line_of

_PART: Final = 65536
_EVENTS_A_PART: Final = 500
_ROOM: Final = 1024
"""Spaces behind the header in a file, for what is expected later: all expectations there are take half."""


class EventJournal(Protocol):
    """Takes events, and gives them back on demand."""

    header: Header

    def append(self, event: Event, /) -> None: ...

    def write_header(self) -> None:
        """Write the header once more: something else is expected."""

    def finish(self, end: RunEnd) -> None:
        """Write how it ended; what comes after is dropped."""

    def flush(self) -> None:
        """Put what was written so far where another process can read it."""

    def remove(self) -> None:
        """Leave nothing behind."""

    def so_far(self) -> Callable[[], EventLog]:
        """What was logged up to this call; calling it may take long, and may be done in any thread."""

    def parts(self) -> Iterator[bytes]:
        """The log up to this call as NDJSON, in parts that are made one by one."""


@final
class MemoryJournal:
    """Events in memory; grows with them."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._log = EventLog(header)

    def append(self, event: Event, /) -> None:
        self._log.append(event)

    def write_header(self) -> None:
        """Nothing is to be done."""

    def finish(self, end: RunEnd) -> None:
        self._log.finish(end)

    def flush(self) -> None:
        """Nothing is to be done."""

    def remove(self) -> None:
        """Nothing is to be done."""

    def so_far(self) -> Callable[[], EventLog]:
        snapshot = EventLog(self.header)
        for event in self._log:
            snapshot.append(event)
        return lambda: snapshot

    def parts(self) -> Iterator[bytes]:
        count = len(self._log)
        yield line_of(self.header)
        for at in range(0, count, _EVENTS_A_PART):
            yield b"".join(map(line_of, self._log[at : min(at + _EVENTS_A_PART, count)]))


@final
class FileJournal:
    """Events in a new file; none are kept.

    Raises:
        FileExistsError: the file is there already.
        OSError: it cannot be written.
    """

    def __init__(self, header: Header, path: Path) -> None:
        self.header = header
        self._path = path
        self._ended = False
        self._file = path.open("xb", buffering=_PART)
        self._width = len(line_of(header)) + _ROOM
        self._file.write(self._padded_header())

    def write_header(self) -> None:
        line = self._padded_header()
        if not self._ended:
            self._file.flush()
            os.pwrite(self._file.fileno(), line, 0)

    def _padded_header(self) -> bytes:
        return line_of(self.header).removesuffix(b"\n").ljust(self._width - 1) + b"\n"

    def append(self, event: Event, /) -> None:
        if not self._ended:
            self._file.write(line_of(event))

    def finish(self, end: RunEnd) -> None:
        if not self._ended:
            self._ended = True
            self._file.write(line_of(end))
            self._file.close()

    def flush(self) -> None:
        if not self._ended:
            self._file.flush()

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def so_far(self) -> Callable[[], EventLog]:
        size = self._size()
        return lambda: EventLog.from_ndjson(self._read(0, size))

    def parts(self) -> Iterator[bytes]:
        size = self._size()
        return (self._read(at, min(_PART, size - at)) for at in range(0, size, _PART))

    def _size(self) -> int:
        """How many bytes can be read; flushing puts whole lines there."""
        self.flush()
        return self._path.stat().st_size

    def _read(self, at: int, size: int) -> bytes:
        with self._path.open("rb") as file:
            file.seek(at)
            return file.read(size)
