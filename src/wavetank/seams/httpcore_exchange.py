"""A connection of `httpcore` and `httpcore2` that hands requests to the desk without HTTP bytes.

Pool, limits, timeouts, keep-alive and retries are the library's own. What is passed over is the writing
and the reading of HTTP on both ends of a connection inside one process, which would take most of the time
of a call. Where a client could see the difference the bytes are written all the same: `_asked` and
`_routed` decide.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from types import ModuleType
from typing import Any, Final, final

import anyio.lowlevel
import msgspec

from ..provider.host_rules import HostApp, Route
from ..provider.http import Frame, Head, HttpRequest
from .exchange import CLOSED, CUT, Attempt, begin, raw_headers
from .http1 import ServerConnection, reason_of
from .memory import current_attempt
from .request_reader import MAX_BODY, BadHttp, headers_of

_SPECIAL: Final = frozenset({b"connection", b"expect", b"transfer-encoding", b"upgrade"})
"""Headers that change how the bytes are written."""

_METHODS: Final = frozenset({b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
_NAME: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9a-zA-Z]+")
_VALUE: Final = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\x20-\x7e\x80-\xff\t]*[\x21-\x7e\x80-\xff])?)?")


@lru_cache(maxsize=1024)
def _is_plain(name: bytes, value: bytes) -> bool:
    """Whether h11 would write a header as it is; clients send the same ones again and again."""
    lower = name.lower()
    legal = _NAME.fullmatch(name) is not None and _VALUE.fullmatch(value) is not None
    return legal and (lower not in _SPECIAL or (lower, value.lower()) == (b"connection", b"keep-alive"))


@final
class _Exchange:
    """One request at the desk, and the frames of its response so far."""

    def __init__(self, core: ModuleType, stream: Any, request: Any) -> None:
        self.over = False
        """The client has read the response to its end, so that the connection can be used again."""
        self._core = core
        self._stream = stream
        self._server: ServerConnection = stream.server
        self._timeout: float | None = (request.extensions.get("timeout") or {}).get("read")
        self._frames: deque[Frame] = deque()
        self._ended = False

    def begin(self, route: Route, attempt: Attempt) -> None:
        """Pass the request to the desk."""
        begin(self._server.desk, route, attempt, self._arrived)

    def _arrived(self, frame: Frame) -> None:
        self._frames.append(frame)
        self._stream.wake()

    def ready(self) -> bool:
        """Whether `take` has something to return."""
        return bool(self._frames) or self._ended or self._server.ended

    async def wait(self) -> None:
        """Return when there is something to take, on asyncio or trio."""
        if not self.ready():
            await self._stream.wait(self._timeout, self.ready)

    def wait_blocking(self) -> None:
        """The same, in a thread."""
        if not self.ready():
            self._stream.wait(self._timeout, self.ready)

    def head(self) -> tuple[Head, list[tuple[bytes, bytes]]]:
        """The head of the response, and its headers as they would be on the wire."""
        if not self._frames:
            raise self._core.RemoteProtocolError(CLOSED)
        frame = self._frames[0]
        assert frame.head is not None
        framing = [] if frame.end else [(b"transfer-encoding", b"chunked")]
        return frame.head, raw_headers(frame) + framing

    def take(self) -> bytes | None:
        """The next part of the body; `None` after the last one."""
        while not self._ended:
            if not self._frames:
                raise self._core.RemoteProtocolError(CUT)
            frame = self._frames.popleft()
            self._ended = frame.end
            if frame.data:
                return frame.data
            if not self._frames and not self._ended:
                return b""
        self.over = True
        return None


def _asked(stream: Any, request: Any) -> HttpRequest | None:
    """The request without its body; `None`: a client could see that no bytes are written."""
    if request.method not in _METHODS or "trace" in request.extensions:
        return None
    if not all(_is_plain(name, value) for name, value in request.headers):
        return None
    try:
        headers = headers_of(request.headers)
    except BadHttp:
        return None
    path, _, query = request.url.target.decode("ascii").partition("?")
    server: ServerConnection = stream.server
    return HttpRequest(
        method=request.method.decode("ascii"), host=server.host, path=path, query=query, headers=headers
    )


def _routed(http: HttpRequest, body: bytes, stream: Any) -> Route | None:
    """What answers; `None`: the bytes have to be written, for the errors that they or an app lead to."""
    if http.headers.get("content-length", "0") != str(len(body)) or len(body) > MAX_BODY:
        return None
    server: ServerConnection = stream.server
    route = None if server.ended else server.route(msgspec.structs.replace(http, body=body))
    return None if route is None or isinstance(route.answers, HostApp) else route


@final
class AsyncContent:
    """The body of a response; it can be read once."""

    def __init__(self, connection: Any, exchange: _Exchange, shielded: Callable[[], Any]) -> None:
        self._connection, self._exchange, self._shielded = connection, exchange, shielded
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            data: bytes | None = b""
            while data == b"":
                await self._exchange.wait()
                data = self._exchange.take()
        except BaseException:
            with self._shielded():
                await self.aclose()
            raise
        if data is None:
            raise StopAsyncIteration
        return data

    def rests(self) -> bool:
        """Let the connection be idle if the response has been read to its end; whether it has."""
        if self._exchange.over and not self._closed:
            self._closed = True
            self._connection.rest()
        return self._closed

    async def aclose(self) -> None:
        if not self.rests():
            self._closed = True
            await self._connection.aclose()


@final
class _BlockingContent:
    """The body of a response; it can be read once."""

    def __init__(self, connection: Any, exchange: _Exchange) -> None:
        self._connection, self._exchange, self._closed = connection, exchange, False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            data: bytes | None = b""
            while data == b"":
                self._exchange.wait_blocking()
                data = self._exchange.take()
        except BaseException:
            self.close()
            raise
        if data is None:
            raise StopIteration
        return data

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._connection._over(self._exchange)


def async_connection_type(core: ModuleType) -> Any:
    """The class that stands in the place of the library's HTTP/1.1 connection for tasks."""
    real, shielded = core._async.http11.AsyncHTTP11Connection, core._synchronization.AsyncShieldCancellation
    log, states = core._async.http11.logger, core._async.http11.HTTPConnectionState
    clock = core._async.http11.time

    class Connection(real):  # type: ignore[misc, valid-type]
        _state: Any

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.server: ServerConnection | None = getattr(self._network_stream, "server", None)

        async def handle_async_request(self, request: Any) -> Any:
            stream, attempt = self._network_stream, current_attempt.get()
            http = _asked(stream, request) if _may(self, stream, attempt, log) else None
            if http is None or attempt is None or self._state not in (states.NEW, states.IDLE):
                return await super().handle_async_request(request)
            before, self._state = (
                self._state,
                states.ACTIVE,
            )  # before the body is read, which may take a while
            self._request_count += 1
            self._expire_at = None
            try:
                parts = [part async for part in request.stream]
                route = _routed(http, b"".join(parts), stream)
                if route is not None:
                    await anyio.lowlevel.checkpoint()
                    exchange = _Exchange(core, stream, request)
                    exchange.begin(route, attempt)
                    await exchange.wait()
                    head, headers = exchange.head()
                    content, more = AsyncContent(self, exchange, shielded), _extensions(head, stream)
                    return core.Response(head.status, headers=headers, content=content, extensions=more)
            except BaseException:
                with shielded():
                    await self.aclose()
                raise
            self._request_count -= 1
            self._state, request.stream = before, _AgainAsync(parts)
            return await super().handle_async_request(request)

        def rest(self) -> None:
            _rest(self, states, clock.monotonic)

    return Connection


def blocking_connection_type(core: ModuleType) -> Any:
    """The class that stands in the place of the library's HTTP/1.1 connection for threads."""
    real = core._sync.http11.HTTP11Connection
    log, states = core._sync.http11.logger, core._sync.http11.HTTPConnectionState
    clock = core._sync.http11.time

    class Connection(real):  # type: ignore[misc, valid-type]
        _state: Any

        def handle_request(self, request: Any) -> Any:
            stream, attempt = self._network_stream, current_attempt.get()
            http = _asked(stream, request) if _may(self, stream, attempt, log) else None
            if http is None or attempt is None:
                return super().handle_request(request)
            parts = [*request.stream]
            body = b"".join(parts)
            route = _routed(http, body, stream)
            if route is None:
                request.stream = parts
                return super().handle_request(request)
            with self._state_lock:
                if self._state not in (states.NEW, states.IDLE):
                    raise core.ConnectionNotAvailable
                self._request_count += 1
                self._state, self._expire_at = states.ACTIVE, None
            exchange = _Exchange(core, stream, request)
            try:
                exchange.begin(route, attempt)
                exchange.wait_blocking()
                head, headers = exchange.head()
            except BaseException:
                self.close()
                raise
            content = _BlockingContent(self, exchange)
            return core.Response(
                head.status, headers=headers, content=content, extensions=_extensions(head, stream)
            )

        def _over(self, exchange: _Exchange) -> None:
            if exchange.over:
                _rest(self, states, clock.monotonic)
            else:
                self.close()

    return Connection


def _may(connection: Any, stream: Any, attempt: Attempt | None, log: logging.Logger) -> bool:
    """Whether a request on this connection may do without bytes."""
    return (
        attempt is not None
        and getattr(stream, "without_bytes", False)
        and not log.isEnabledFor(logging.DEBUG)  # its debug lines describe the bytes
    )


def _rest(connection: Any, states: Any, monotonic: Callable[[], float]) -> None:
    """The connection is idle, and may be kept for another request."""
    connection._state = states.IDLE
    if connection._keepalive_expiry is not None:
        connection._expire_at = monotonic() + connection._keepalive_expiry


def _extensions(head: Head, stream: Any) -> dict[str, Any]:
    return {
        "http_version": b"HTTP/1.1",
        "reason_phrase": reason_of(head.status).encode(),
        "network_stream": stream,
    }


@final
class _AgainAsync:
    """A request body that has been read, to be read again."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
