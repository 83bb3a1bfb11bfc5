"""The client's end of an in-memory connection, in the shape of an asyncio transport."""

from __future__ import annotations

import asyncio
import errno
from typing import Any, Final, final

from .desk import Desk
from .exchange import Attempt
from .memory import Connected

_CHUNK: Final = 65536
_NAMES: Final = {"peername": ("127.0.0.1", 443), "sockname": ("127.0.0.1", 50000)}


@final
class MemoryTransport(asyncio.Transport):
    """Feeds a protocol with what the provider sends; `attempt` is the request under way."""

    def __init__(
        self, connected: Connected, protocol: asyncio.BaseProtocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(_NAMES)
        self._loop = loop
        self._protocol: Any = protocol
        self._paused = False
        self._closing = False
        self._lost = False
        self._scheduled = False
        self._server = connected(self._wake)
        self.desk: Desk = self._server.desk
        self.attempt = Attempt(self.desk.clock.now())

    # -- from the provider -------------------------------------------------------------------

    def _wake(self) -> None:
        """There is something new; called in any thread, also while the client's own bytes are taken in."""
        if self._scheduled or self._lost:
            return
        self._scheduled = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop is gone, and with it the client
            self._lost = True

    def _deliver(self) -> None:
        self._scheduled = False
        while not self._paused and not self._closing and (data := self._server.take(_CHUNK)):
            self._protocol.data_received(data)
        if self._closing:
            self._lose(None)
        elif self._server.ended and not self._server.pending:
            reset = ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
            if not self._server.reset:
                self._protocol.eof_received()
            self._lose(reset if self._server.reset else None)

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._closing = self._lost = True
            self._server.hang_up()
            self._protocol.connection_lost(error)

    # -- from the client -----------------------------------------------------------------------

    def write(self, data: Any) -> None:
        if not self._closing and not self._server.ended:
            self._server.receive(bytes(data), self.attempt)

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._server.hang_up()
            self._wake()

    def abort(self) -> None:
        self.close()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        if self._server.readable:
            self._wake()

    def is_reading(self) -> bool:
        return not self._paused and not self._closing

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered on the way to the provider."""

    def get_write_buffer_size(self) -> int:
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def __repr__(self) -> str:
        return f"<MemoryTransport to {self._server!r}>"
