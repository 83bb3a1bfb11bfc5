"""The server of `loopback` for trio: the same connection handler behind anyio's streams."""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import anyio
from anyio.abc import AnyByteStream, ByteStream, SocketAttribute
from anyio.streams.tls import TLSListener

from .desk import Desk
from .http1 import ServerConnection, SideDoor
from .loopback import BACKLOG, LINGER, RESET, Connect, connections

logger = logging.getLogger(__name__)

_CHUNK: Final = 65536


async def serve(
    desk: Desk,
    *,
    host: str,
    port: int,
    tls: ssl.SSLContext | None = None,
    side_door: SideDoor | None = None,
    started: Callable[[int], object] = lambda _: None,
) -> None:
    """Answer on `host`:`port` until cancelled; `started` is told the port, which `0` leaves to the system.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    connect = connections(desk, side_door)
    tcp: Any = await anyio.create_tcp_listener(local_host=host, local_port=port, backlog=BACKLOG)
    listener = tcp if tls is None else _QuietTLSListener(tcp, tls, standard_compatible=False)
    async with listener:
        started(tcp.extra(SocketAttribute.local_port))
        await listener.serve(lambda stream: _converse(desk, connect, stream))


class _QuietTLSListener(TLSListener):
    """A handshake that fails is the client's affair."""

    @staticmethod
    async def handle_handshake_error(exc: BaseException, stream: AnyByteStream) -> None:
        await anyio.aclose_forcefully(stream)
        if not isinstance(exc, Exception):
            raise exc


async def _converse(desk: Desk, connect: Connect, stream: ByteStream) -> None:
    """One connection, from its first byte to its end; what goes wrong in it ends no other."""
    try:
        await _exchange_bytes(desk, connect, stream)
    except Exception:
        logger.exception("a connection was dropped")


async def _exchange_bytes(desk: Desk, connect: Connect, stream: ByteStream) -> None:
    async with stream, anyio.create_task_group() as group:
        bell = _Bell(desk)
        connection = connect(bell.ring)
        if connection.ended:
            return
        turn = anyio.Condition(anyio.Lock(fast_acquire=True))

        async def read() -> None:
            await _read(connection, stream, turn)
            group.cancel_scope.cancel()

        group.start_soon(read)
        try:
            await _write(connection, stream, bell, turn)
        finally:
            connection.hang_up()
        group.cancel_scope.cancel()


async def _read(connection: ServerConnection, stream: ByteStream, turn: anyio.Condition) -> None:
    """Take what the client sends, until it hangs up; what comes after the end is dropped.

    A send ends a step after its bytes have gone, when the client may have answered them already:
    with the turn, the writer tells first that they were handed over.
    """
    try:
        while True:
            data = await stream.receive(_CHUNK)
            async with turn:
                connection.receive(data)
                while connection.full and not connection.ended:
                    await turn.wait()
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        with anyio.move_on_after(LINGER):
            async with turn:
                return


async def _write(
    connection: ServerConnection, stream: ByteStream, bell: _Bell, turn: anyio.Condition
) -> None:
    try:
        while not connection.ended or connection.pending:
            async with turn:
                while data := connection.take(_CHUNK):
                    await stream.send(data)
                connection.handed_over()
                turn.notify_all()
            await bell.to_do(lambda: connection.readable)
        await _close(connection, stream)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return


async def _close(connection: ServerConnection, stream: ByteStream) -> None:
    """End the connection so that the client gets all that was sent, or a reset if that is the fault."""
    if connection.reset:
        raw = stream.extra(SocketAttribute.raw_socket)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    elif connection.refused:
        with suppress(NotImplementedError):
            await stream.send_eof()
            await anyio.sleep(LINGER)
    await stream.aclose()


class _Bell:
    """Tells the writer of a connection that there is something to do; rung from any thread."""

    def __init__(self, desk: Desk) -> None:
        self._new = desk.waits.event
        self._event = self._new()

    def ring(self) -> None:
        self._event.set()

    async def to_do(self, already: Callable[[], bool]) -> None:
        """Return when it was rung, or if there is something already."""
        self._event = self._new()
        if not already():
            await self._event.wait()
