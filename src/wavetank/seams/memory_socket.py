"""The client's end of an in-memory connection, as much of a socket as `http.client` asks for."""

from __future__ import annotations

import errno
import functools
import io
import os
from typing import Any, final

from .memory import Connected, current_attempt
from .waiting import BlockingEvent, Waits


@functools.cache
def _hung_up() -> int:
    """The reading end of a pipe that is closed at the other; the process has one, once it is asked for."""
    reading, writing = os.pipe()
    os.close(writing)
    return reading


@final
class MemorySocket:
    """A blocking socket whose other end is the provider; `timeout` is in seconds, `None` for none.

    What the client takes is what it has read: there is no buffer of its own between.
    """

    def __init__(self, connected: Connected, waits: Waits, timeout: float | None = None) -> None:
        self._waits = waits
        self._timeout = timeout
        self._readable: BlockingEvent | None = None
        self._closed = False
        self._files = 0
        self._server = connected(self._wake)

    def _wake(self) -> None:
        if self._readable is not None and self._server.readable:
            self._readable.set()

    @property
    def connected(self) -> bool:
        """Whether a new request may be sent: neither end is closed, and nothing is left to read."""
        return not self._closed and not self._server.readable

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send bytes to the provider.

        Raises:
            BrokenPipeError: the provider has closed the connection.
        """
        if self._server.ended:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        self._server.receive(bytes(data), current_attempt.get())

    def makefile(self, mode: str = "r", buffering: int | None = None, **options: object) -> ReplyFile:
        """The file from which replies are read."""
        self._files += 1
        return ReplyFile(self)

    def settimeout(self, timeout: float | None) -> None:
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        return self._timeout

    def fileno(self) -> int:
        """A descriptor that hangs up: a pool that still has this socket after the test drops it."""
        return _hung_up()

    def shutdown(self, how: int) -> None:
        """End the connection; a thread that waits for bytes gets the end."""
        self._server.hang_up()
        self._wake()

    def close(self) -> None:
        self._closed = True
        self._hang_up_unless_read()

    def file_closed(self) -> None:
        """A file that was made of this socket is closed."""
        self._files -= 1
        self._hang_up_unless_read()

    def _hang_up_unless_read(self) -> None:
        """A socket lives on while a file of it is open."""
        if self._closed and not self._files:
            self._server.hang_up()

    def wait_for_bytes(self) -> None:
        """Return when a read gives something: bytes, or the end.

        Raises:
            TimeoutError: the timeout ran out.
            ConnectionResetError: the provider broke off without an answer.
        """
        if not self.readable_within(self._timeout):
            raise TimeoutError("timed out")
        if self._server.reset and not self._server.pending:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    def readable_within(self, seconds: float | None) -> bool:
        """Wait until a read gives something, for so many seconds at most; whether it does."""
        if self._server.readable:
            return True
        self._readable = readable = self._waits.blocking_event()
        try:
            return self._server.readable or readable.wait(seconds)
        finally:
            self._readable = None

    def take(self, limit: int) -> bytes:
        """Up to `limit` bytes that are there."""
        data = self._server.take(limit)
        self._server.handed_over()
        return data

    def take_line(self, limit: int) -> bytes:
        """Up to `limit` bytes that are there, and not beyond the end of a line."""
        return self.take(self._server.line_length(limit))

    def __repr__(self) -> str:
        return f"<MemorySocket to {self._server!r}>"


@final
class ReplyFile(io.BufferedIOBase):
    """The reading end; it never takes more than it is asked for."""

    def __init__(self, socket: MemorySocket) -> None:
        self._socket = socket

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = -1 if size is None else size
        parts: list[bytes] = []
        while wanted and (part := self.read1(wanted)):
            parts.append(part)
            wanted -= len(part) if wanted > 0 else 0
        return b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        if not size:
            return b""
        self._socket.wait_for_bytes()
        return self._socket.take(size if size > 0 else 1 << 62)

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer as far as bytes are there; 0 only at the end."""
        with memoryview(buffer).cast("B") as view:
            data = self.read1(len(view))
            view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1, /) -> bytes:
        wanted = 1 << 62 if size is None or size < 0 else size
        line = b""
        while len(line) < wanted and not line.endswith(b"\n"):
            self._socket.wait_for_bytes()
            part = self._socket.take_line(wanted - len(line))
            if not part:
                break
            line += part
        return line

    def peek(self, size: int = 0, /) -> bytes:
        """No bytes ahead: looking must not count as reading."""
        return b""

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._socket.file_closed()
