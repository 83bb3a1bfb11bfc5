"""A real server on this machine, for clients that live in another process or language.

The bytes go through the same connection handler as in memory; time is the machine's. On asyncio
each connection is a protocol, without a task or a stream.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, final

from ..provider.wire import Dialect, HttpRequest, route
from .desk import Desk
from .http1 import ServerConnection, SideDoor
from .request_reader import Room

_CHUNK: Final = 1 << 18
BACKLOG: Final = 1024
"""So many clients may wait for their connection to be taken."""

LINGER: Final = 5
"""So many seconds a client that was refused may go on sending before its connection is closed."""

RESET: Final = struct.pack("ii", 1, 0)
"""The socket option that ends a connection with a reset."""


Connect = Callable[[Callable[[], object]], ServerConnection]


def connections(desk: Desk, side_door: SideDoor | None) -> Connect:
    """Makes the server's side of each connection, given what wakes its writer; all share room for bodies."""
    room = Room()

    def connect(wake: Callable[[], object]) -> ServerConnection:
        connection = ServerConnection(
            desk, _dialect_spoken, "127.0.0.1", wake=wake, side_door=side_door, room=room
        )
        if desk.refuses_connection():
            connection.close()  # the port is open, so all it can do is hang up at once
        return connection

    return connect


def _dialect_spoken(request: HttpRequest) -> Dialect:
    """By the host the client named, if it is a provider's, and else by path and headers."""
    return route(request.headers.get("host", ""), request.path, request.headers)


async def serve(
    desk: Desk,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    side_door: SideDoor | None = None,
    started: Callable[[int], object] = lambda _: None,
) -> None:
    """Answer on `host`:`port` until cancelled, on asyncio; `started` is told the port.

    Port `0` leaves the choice to the system.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    loop = asyncio.get_running_loop()
    connect = connections(desk, side_door)
    open_ones: dict[Conversation, None] = {}
    server = await loop.create_server(
        lambda: Conversation(connect, loop, open_ones), host, port, ssl=tls, backlog=BACKLOG
    )
    try:
        started(server.sockets[0].getsockname()[1])
        await asyncio.Event().wait()
    finally:
        server.close()
        for conversation in tuple(open_ones):
            conversation.abort()
        # Lets the aborted connections tell of their end.
        await asyncio.sleep(0)


@final
class Conversation(asyncio.Protocol):
    """One client's connection."""

    def __init__(
        self,
        connect: Connect,
        loop: asyncio.AbstractEventLoop,
        all_of_them: dict[Conversation, None],
    ) -> None:
        self._loop = loop
        self._all = all_of_them
        self._thread = threading.get_ident()
        self._transport: Any = None
        self._scheduled = False
        self._paused = False
        self._held = False
        self._lingering: asyncio.TimerHandle | None = None
        self._connection = connect(self._wake)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._all[self] = None
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
        self._all.pop(self, None)
        if self._lingering is not None:
            self._lingering.cancel()
        self._connection.hang_up()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def abort(self) -> None:
        """End the connection at once."""
        self._connection.hang_up()
        self._transport.abort()

    def _wake(self) -> None:
        """There is something new; told in any thread."""
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
        elif self._connection.refused and transport.can_write_eof():
            transport.write_eof()
            self._lingering = self._loop.call_later(LINGER, transport.abort)
        else:
            transport.close()

    def __repr__(self) -> str:
        return f"<Conversation on {self._connection!r}>"
