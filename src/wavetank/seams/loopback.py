"""A real server on this machine, for clients that live in another process or language.

The bytes go through the same connection handler as in memory; time is the machine's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import anyio
from anyio.abc import ByteStream, SocketAttribute, TaskStatus

from ..provider.wire import Dialect, HttpRequest, route
from .desk import Desk
from .http1 import ServerConnection

logger = logging.getLogger(__name__)

_CHUNK: Final = 65536


async def serve(
    desk: Desk,
    *,
    host: str,
    port: int,
    task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on `host`:`port` until cancelled; reports the port, which `0` leaves to the system.

    Raises:
        OSError: the port is taken, or the address is not this machine's.
    """
    async with await anyio.create_tcp_listener(local_host=host, local_port=port) as listener:
        task_status.started(listener.extra(SocketAttribute.local_port))
        await listener.serve(lambda stream: _converse(desk, stream))


async def _converse(desk: Desk, stream: ByteStream) -> None:
    """One connection, from its first byte to its end; what goes wrong in it ends no other."""
    try:
        await _exchange_bytes(desk, stream)
    except Exception:
        logger.exception("a connection was dropped")


async def _exchange_bytes(desk: Desk, stream: ByteStream) -> None:
    async with stream, anyio.create_task_group() as group:
        something = _Bell(desk)
        connection = ServerConnection(desk, _dialect_spoken, "127.0.0.1", wake=something.ring)
        group.start_soon(_write, connection, stream, something)
        try:
            await _read(connection, stream)
        finally:
            connection.hang_up()
            something.ring()
        group.cancel_scope.cancel()


async def _read(connection: ServerConnection, stream: ByteStream) -> None:
    try:
        while not connection.ended:
            connection.receive(await stream.receive(_CHUNK))
    except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
        return
    await anyio.sleep_forever()


async def _write(connection: ServerConnection, stream: ByteStream, something: _Bell) -> None:
    try:
        while True:
            while data := connection.take(_CHUNK):
                await stream.send(data)
            connection.handed_over()
            if connection.ended:
                await stream.aclose()
                return
            await something.to_do(lambda: connection.readable)
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return


class _Bell:
    """Tells the writing task that there is something to do; rung from any thread."""

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


def _dialect_spoken(request: HttpRequest) -> Dialect:
    """By the host the client named, if it is a provider's, and else by path and headers."""
    return route(request.headers.get("host", ""), request.path, request.headers)
