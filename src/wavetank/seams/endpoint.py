"""The client's end of an in-memory connection, as much as a socket needs of it."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, final

from ..clock import SECOND
from ..patches.virtual_sockets import Address
from ..sim.processes import current_process
from .desk import Desk, connection_error
from .exchange import Attempt, set_out
from .memory import SYSTEM_PATIENCE, current_attempt, require_http1
from .services import ServerEnd


@final
class Endpoint:
    """One connection of a client to the provider behind `host`.

    What the client takes is what it has read: there is no buffer of its own between.
    """

    def __init__(
        self,
        desk: Desk,
        connected: Callable[[Callable[[], object]], ServerEnd],
        host: str,
        *,
        here: Address,
        there: Address,
        blocking: bool = False,
    ) -> None:
        self.desk = desk
        self.host = host
        self.blocking = blocking
        """Whether the client blocks its thread while it waits."""
        self.here = here
        self.there = there
        self.writable, self.error = True, 0
        self.attempt: Attempt | None = None
        """Whose bytes it carries, where the running task or thread does not say so."""
        self.watchers: list[Callable[[], object]] = []
        self.process = current_process.get()
        self._sockets = 1
        self._signal: Signal | None = None
        self._begun = self._no_more_sent = self._no_more_read = False
        self._server: ServerEnd = connected(self._wake)

    def signal_on(self, descriptor: int) -> None:
        """Let the system know, too, whether there is something to read, under the client's descriptor."""
        if self._signal is not None:
            self._signal.close()
        self._signal = Signal(descriptor)
        self._wake()

    def _wake(self) -> None:
        if self.readable:
            if self._signal is not None:
                self._signal.set()
            for watcher in (*self.watchers,):
                watcher()

    # -- reading ---------------------------------------------------------------------------

    @property
    def readable(self) -> bool:
        return self._server.readable or self._no_more_read

    def wait(self, timeout: float | None) -> bool:
        """Wait until a read gives something, for so many seconds at most; whether it does."""
        if self.readable or timeout == 0:
            return self.readable
        event = self.desk.waits.blocking_event()
        self.watchers.append(event.set)
        try:
            return self.readable or event.wait(timeout) or self.readable
        finally:
            self.watchers.remove(event.set)

    def receive(self, limit: int, timeout: float | None) -> bytes:
        """Up to `limit` bytes, once there are any; none at the end.

        Raises:
            BlockingIOError: there is nothing yet, and `timeout` is 0.
            TimeoutError: there was nothing within `timeout` seconds.
            ConnectionResetError: the provider broke off without an answer.
        """
        self._wait_for_bytes(timeout)
        return self.take(limit)

    def receive_line(self, limit: int, timeout: float | None) -> bytes:
        """As `receive`, and not beyond the end of a line."""
        self._wait_for_bytes(timeout)
        return self.take(self._server.line_length(limit))

    def peek(self, limit: int, timeout: float | None) -> bytes:
        """As `receive`, but the bytes stay to be read."""
        self._wait_for_bytes(timeout)
        return self._server.peek(limit)

    def _wait_for_bytes(self, timeout: float | None) -> None:
        if not self.wait(timeout):
            if timeout == 0:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            raise TimeoutError("timed out")
        if self._server.reset and not self._server.pending:
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    def take(self, limit: int) -> bytes:
        """Up to `limit` bytes that are there."""
        if self._no_more_read:
            return b""
        data = self._server.take(limit)
        self._server.handed_over()
        if self._signal is not None and not self.readable:
            self._signal.clear()
        return data

    # -- writing ---------------------------------------------------------------------------

    def send(self, data: Any) -> int:
        """Send all of the bytes; how many they were.

        Raises:
            BrokenPipeError: one of both ends has closed this direction.
            WrongProtocol: they are no HTTP/1.1.
        """
        if self._server.ended or self._no_more_sent:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        sent = bytes(data)
        if sent and self._server.speaks_http:
            if not self._begun:
                self._begun = True
                require_http1(sent)
            self._server.receive(sent, self._sender(sent))
        elif sent:
            self._server.receive(sent)
        return len(sent)

    def _sender(self, sent: bytes) -> Attempt:
        """A request sets out with its first byte, unless the pool that it went through says when it did."""
        attempt = current_attempt.get() or self.attempt
        if attempt is None or attempt.record is not None:
            method, _, rest = sent.partition(b"\r\n")[0].decode("latin-1").partition(" ")
            path = rest.partition(" ")[0]
            attempt = self.attempt = set_out(self.desk, method, path, blocking=self.blocking)
        return attempt

    # -- the end ---------------------------------------------------------------------------

    def shut_down(self, how: int) -> None:
        """Close one direction or both, as `socket.shutdown`; a thread that waits for bytes gets the end."""
        if how in (socket.SHUT_RD, socket.SHUT_RDWR):
            self._no_more_read = True
        if how == socket.SHUT_RDWR:
            self._server.hang_up()
        if how in (socket.SHUT_WR, socket.SHUT_RDWR):
            self._no_more_sent = True
            self._server.no_more_requests()
        self._wake()

    def share(self) -> None:
        """One socket more is to be closed before it hangs up."""
        self._sockets += 1

    def close(self) -> None:
        """Hang up, if no other socket has this end."""
        self._sockets -= 1
        if self._signal is not None:
            self._signal.close()
            self._signal = None
        if not self._sockets:
            self._server.hang_up()
            self._wake()

    def __repr__(self) -> str:
        return f"<Endpoint at {self._server!r}>"


@final
class Unanswered:
    """The client's end of a connection that is never made: its attempt fails after a while.

    A socket that blocks waits here. Any other goes on at once, and its loop waits until it can be
    written to; what waits by the system's own `poll` sees the failure at once.
    """

    error = errno.ETIMEDOUT

    def __init__(self, desk: Desk, host: str, timeout: float | None) -> None:
        self.host = host
        self.watchers: list[Callable[[], object]] = []
        self.process = current_process.get()
        self.readable = self.writable = False
        if timeout == 0:
            self._timer = desk.clock.call_at(desk.clock.now() + round(SYSTEM_PATIENCE * SECOND), self._fail)
            return
        wait = SYSTEM_PATIENCE if timeout is None else timeout
        desk.waits.blocking_event().wait(min(wait, SYSTEM_PATIENCE))
        if wait < SYSTEM_PATIENCE:
            raise TimeoutError("timed out")
        raise connection_error("connect-timeout")

    def signal_on(self, _descriptor: int) -> None:
        """The connection is on its way."""
        raise BlockingIOError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS))

    def _fail(self) -> None:
        self.readable = self.writable = True
        for watcher in (*self.watchers,):
            watcher()

    def close(self) -> None:
        """Give the attempt up."""
        self._timer.cancel()

    def __getattr__(self, _: str) -> NoReturn:
        """What is asked of a socket that is connected."""
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))


@final
class Signal:
    """Makes a descriptor readable for the system's own `poll` and its like, or not."""

    def __init__(self, descriptor: int) -> None:
        self._set = False
        if hasattr(os, "eventfd"):
            ours, theirs = -1, os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            ours, theirs = (end.detach() for end in socket.socketpair())
            os.set_blocking(theirs, False)
        os.dup2(theirs, descriptor, inheritable=False)
        os.close(theirs)
        self._theirs = descriptor
        self._ours = ours

    def set(self) -> None:
        """Let it be readable."""
        if not self._set:
            self._set = True
            if self._ours < 0:
                os.eventfd_write(self._theirs, 1)
            else:
                os.write(self._ours, b"\0")

    def clear(self) -> None:
        """Let it be readable no more."""
        if self._set:
            self._set = False
            with suppress(BlockingIOError):
                os.read(self._theirs, 8)

    def close(self) -> None:
        """The descriptor itself is closed by the socket that has it."""
        if self._ours >= 0:
            os.close(self._ours)
        self._set = True
