"""The client's end of an in-memory connection, in the shape `httpcore` and `httpcore2` ask for.

The network's only delays are the provider's; the client's read timeout stays in force.
"""

from __future__ import annotations

import errno
import os
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final

import anyio.lowlevel

from ..scenario import Stage
from .desk import Desk
from .errors import WrongProtocol
from .exchange import Attempt
from .http1 import ServerConnection
from .unknown_hosts import connect, place
from .waiting import AsyncEvent, BlockingEvent, Waits, wait_for

Connected = Callable[[Callable[[], object]], ServerConnection]

current_attempt: Final[ContextVar[Attempt | None]] = ContextVar("wavetank_attempt", default=None)
"""The request whose bytes the running task or thread sends."""


SYSTEM_PATIENCE: Final = 127.0
"""For so many seconds Linux tries to connect, by its default for `tcp_syn_retries`."""


def connection_to(desk: Desk, host: str, port: int | None, *stages: Stage) -> Connected:
    """A connection to the provider behind `host`, still to be given its `wake`; `stages` are those to take.

    Raises:
        UnknownHost: the fake does not answer for that host.
        OutsideTheTank: the caller is where the desk's clock does not run.
        OSError: as `unknown_hosts.connect`.
    """
    desk.admit()
    for stage in stages:
        connect(desk, host, port, current_attempt.get(), stage=stage)
    return lambda wake: ServerConnection(desk, desk.hosts.route, place(host, port), wake=wake)


_HTTP2: Final = b"PRI * HTTP/2"
_TLS: Final = b"\x16\x03"


def require_http1(sent: bytes) -> None:
    """Look at the first bytes of what a client sends.

    Raises:
        WrongProtocol: they begin HTTP/2, or TLS that is not Python's own; the text says what to change.
    """
    if sent.startswith(_HTTP2):
        raise WrongProtocol(
            "the client speaks HTTP/2 at once, and the fake speaks HTTP/1.1: let the client offer both "
            "(http1=True in httpx, or no http2=), as it does by default"
        )
    if sent.startswith(_TLS):
        raise WrongProtocol(
            "the client encrypts by a TLS library of its own, which the fake cannot pass over: let it use "
            "Python's ssl module (for urllib3, no pyopenssl.inject_into_urllib3), or give it an http:// URL"
        )


class _Shared:
    """What the async and the blocking end have in common."""

    _core: ModuleType
    _server: ServerConnection
    _waits: Waits
    _readable: AsyncEvent | BlockingEvent | None = None
    _begun = False

    @property
    def server(self) -> ServerConnection:
        """The provider's end of the connection."""
        return self._server

    @property
    def without_bytes(self) -> bool:
        """Whether requests may be handed over as they are: nothing in the scenario is about bytes."""
        return not self._server.desk.needs_bytes

    def wake(self) -> None:
        """Something is there for the client."""
        if self._readable is not None:
            self._readable.set()

    def _wake(self) -> None:
        if self._server.readable:
            self.wake()

    def _can_read(self) -> bool:
        return self._server.readable

    def _send(self, buffer: bytes) -> None:
        if self._server.ended:
            raise self._core.WriteError("the provider closed the connection")
        if not self._begun:
            self._begun = True
            require_http1(buffer)
        self._server.receive(buffer, current_attempt.get())

    def _take(self, limit: int) -> bytes:
        data = self._server.take(limit)
        if not data and self._server.reset:
            error = ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
            raise self._core.ReadError(str(error)) from error
        return data

    def _shake_hands(self, context: ssl.SSLContext) -> None:
        if context.verify_mode != ssl.CERT_NONE:
            try:
                self._server.desk.connect(self._server.host, "handshake")
            except OSError as error:
                raise self._core.ConnectError(str(error)) from error

    def _too_late(self, timeout: float | None) -> Exception:
        error: Exception = self._core.ReadTimeout(f"no answer within {timeout} s")
        error.__cause__ = TimeoutError("timed out")
        return error

    def get_extra_info(self, info: str) -> object:
        return self._server.readable if info == "is_readable" else None

    def __repr__(self) -> str:
        return f"<in-memory stream to {self._server!r}>"


def async_stream_type(core: ModuleType) -> Callable[[Connected, Waits], Any]:
    """The async stream class for one library."""
    base: Any = core.AsyncNetworkStream

    class AsyncStream(_Shared, base):  # type: ignore[misc]
        _core = core

        def __init__(self, connected: Connected, waits: Waits) -> None:
            self._waits = waits
            self._server = connected(self._wake)

        async def write(self, buffer: bytes, timeout: float | None = None) -> None:
            if buffer:
                await anyio.lowlevel.checkpoint()
                self._send(buffer)

        async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            if self._server.readable:
                await anyio.lowlevel.checkpoint()
            else:
                await self.wait(timeout, self._can_read)
            return self._take(max_bytes)

        async def wait(self, timeout: float | None, ready: Callable[[], bool]) -> None:
            """Return when it is ready.

            Raises:
                ReadTimeout: it is not, and so many seconds have passed.
            """
            self._readable = readable = self._waits.event()
            try:
                if not ready():
                    await wait_for(readable, self._server.desk.clock, timeout)
            finally:
                self._readable = None
            if not ready():
                raise self._too_late(timeout)

        async def aclose(self) -> None:
            await anyio.lowlevel.checkpoint()
            self._server.hang_up()

        async def start_tls(self, ssl_context: Any, *args: object, **options: object) -> Any:
            self._shake_hands(ssl_context)
            return self

    return AsyncStream


def blocking_stream_type(core: ModuleType) -> Callable[[Connected, Waits], Any]:
    """The blocking stream class for one library."""
    base: Any = core.NetworkStream

    class BlockingStream(_Shared, base):  # type: ignore[misc]
        _core = core

        def __init__(self, connected: Connected, waits: Waits) -> None:
            self._waits = waits
            self._server = connected(self._wake)

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            if buffer:
                self._send(buffer)

        def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
            if not self._server.readable:
                self.wait(timeout, self._can_read)
            return self._take(max_bytes)

        def wait(self, timeout: float | None, ready: Callable[[], bool]) -> None:
            """Return when it is ready.

            Raises:
                ReadTimeout: it is not, and so many seconds have passed.
            """
            self._readable = readable = self._waits.blocking_event()
            try:
                if not ready() and not readable.wait(timeout):
                    raise self._too_late(timeout)
            finally:
                self._readable = None

        def close(self) -> None:
            self._server.hang_up()

        def start_tls(self, ssl_context: Any, *args: object, **options: object) -> Any:
            self._shake_hands(ssl_context)
            return self

    return BlockingStream
