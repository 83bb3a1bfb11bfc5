"""A real server on this machine, for clients that live in another process or language.

The bytes go through the same connection handler as in memory; time is the machine's. Each connection
is a protocol of asyncio, without a task or a stream.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, final

from ..clock import MINUTE, real_now
from ..provider.host_rules import Route
from ..provider.http import HttpRequest
from .desk import Desk
from .http1 import IDLE, ControlApi, ServerConnection
from .request_reader import Room

_CHUNK: Final = 1 << 18
BACKLOG: Final = 1024
"""So many clients may wait for their connection to be taken."""

LINGER: Final = 5
"""So many seconds a client that was refused may go on sending before its connection is closed."""

RESET: Final = struct.pack("ii", 1, 0)
"""The socket option that ends a connection with a reset."""


_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_SAID_AGAIN: Final = MINUTE
"""So long after it was said that there are too many clients, it is said again if there are still."""

logger = logging.getLogger(__name__)


class Run(Protocol):
    """What clients meet until another run takes its place."""

    @property
    def desk(self) -> Desk: ...

    def start(self) -> None:
        """The first client has come: let the scenario's time begin."""


@final
class Clients:
    """The connections of one server; all share room for bodies.

    Args:
        run: returns the run that clients meet now.
        control_api: answers what is meant for the server itself.
    """

    def __init__(self, run: Callable[[], Run], control_api: ControlApi | None = None) -> None:
        self._run = run
        self._control_api = control_api
        self._room = Room()
        self.open: dict[Conversation, None] = {}

    def accepted(self, wake: Callable[[], object]) -> ServerConnection:
        """The server's side of a new connection, given what wakes its writer."""
        run = self._run()
        connection = self.connection(wake)
        if run.desk.refuses_connection():
            run.start()
            connection.close()  # the port is open, so all it can do is hang up at once
        return connection

    def connection(self, wake: Callable[[], object]) -> ServerConnection:
        """The same of a connection that was let in before."""
        run = self._run()

        def route(request: HttpRequest) -> Route:
            run.start()
            return run.desk.hosts.route_here(request)

        return ServerConnection(
            run.desk, route, "", wake=wake, control_api=self._control_api, room=self._room, idle=IDLE
        )

    def renew(self) -> None:
        """Another run has begun: requests of the one before end, and other connections are kept."""
        for conversation in tuple(self.open):
            conversation.renew()

    def abort(self) -> None:
        """End all connections at once."""
        for conversation in tuple(self.open):
            conversation.abort()

    def __repr__(self) -> str:
        return f"<Clients [{len(self.open)} connected]>"


async def serve(
    clients: Clients,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    started: Callable[[int], object] = lambda _: None,
) -> None:
    """Answer on `host`:`port` until cancelled, on asyncio; `started` is called with the port.

    Port `0` leaves the choice to the system.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_Exhaustion())
    server = await loop.create_server(
        lambda: Conversation(clients, loop), host, port, ssl=tls, backlog=BACKLOG
    )
    try:
        started(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()
    finally:
        server.close()
        clients.abort()
        # Lets the aborted connections report their end.
        await asyncio.sleep(0)


@final
class _Exhaustion:
    """Says in one line that the system has no room for more clients; asyncio tries again each second.

    Without it asyncio logs a traceback for each of up to `BACKLOG` tries a second.
    """

    def __init__(self) -> None:
        self._said_at: int | None = None

    def __call__(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _EXHAUSTED and "socket" in context):
            loop.default_exception_handler(dict(context))
            return
        now = real_now()
        if self._said_at is None or now - self._said_at >= _SAID_AGAIN:
            self._said_at = now
            logger.warning(
                "wavetank: %s: new clients wait until others hang up; `ulimit -n` raises the limit",
                error.strerror,
            )


@final
class Conversation(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, clients: Clients, loop: asyncio.AbstractEventLoop) -> None:
        self._clients = clients
        self._loop = loop
        self._thread = threading.get_ident()
        self._transport: Any = None
        self._scheduled = False
        self._paused = False
        self._held = False
        self._lingering: asyncio.TimerHandle | None = None
        self._connection = clients.accepted(self._wake)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._clients.open[self] = None
        if self._connection.ended:
            self._wake()

    def data_received(self, data: bytes) -> None:
        if self._lingering is not None:
            return
        self._connection.receive(data)
        if self._connection.full:
            self._held = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._clients.open.pop(self, None)
        if self._lingering is not None:
            self._lingering.cancel()
        self._connection.hang_up()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def renew(self) -> None:
        """Meet the next run from the next request on, or hang up if a request is under way."""
        connection = self._connection
        if connection.at_rest:
            connection.hang_up()
            self._connection = self._clients.connection(self._wake)
        elif not connection.end_after_page():
            self.abort()

    def abort(self) -> None:
        """End the connection at once."""
        self._connection.hang_up()
        self._transport.abort()

    def _wake(self) -> None:
        """There is something new; called in any thread."""
        if threading.get_ident() != self._thread:
            with suppress(RuntimeError):  # the loop is gone, and with it the client
                self._loop.call_soon_threadsafe(self._wake)
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        connection, transport = self._connection, self._transport
        if transport is None or transport.is_closing():
            return
        while connection.to_take and not self._paused:
            transport.write(connection.take(_CHUNK))
        if not self._paused:
            connection.handed_over()
        if self._held and not connection.full:
            self._held = False
            transport.resume_reading()
        if connection.ended and not connection.pending and self._lingering is None:
            self._close(transport)

    def _close(self, transport: Any) -> None:
        """End the connection so that the client gets all that was sent, or a reset if that is the fault."""
        if self._connection.reset:
            raw = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            transport.abort()
        elif self._paused:
            transport.abort()  # the client does not take what was sent, and would keep the connection open
        elif self._connection.refused and transport.can_write_eof():
            with suppress(OSError):  # the client has gone meanwhile
                transport.write_eof()
            self._lingering = self._loop.call_later(LINGER, transport.abort)
        else:
            transport.close()

    def __repr__(self) -> str:
        return f"<Conversation on {self._connection!r}>"
