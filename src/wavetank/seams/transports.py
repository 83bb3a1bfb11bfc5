"""Transport objects for `httpx` and `httpx2`: for clients that are handed a transport of their own.

Unlike the libraries' own stand-ins they stream, and honour the client's read timeout.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

import anyio.lowlevel

from ..provider.http import Frame, Head, HttpRequest
from .desk import Desk
from .exchange import CLOSED, CUT, GARBLED, begin, closed, left, raw_headers, set_out
from .request_reader import BadHttp, headers_of
from .unknown_hosts import connect, place, unknown_path
from .waiting import AsyncEvent, BlockingEvent, wait_for


def _plain(status: int, text: str) -> Frame:
    """A whole response in plain text."""
    head = Head(status, (("content-type", "text/plain; charset=utf-8"),))
    return Frame(head=head, data=f"{text}\n".encode(), end=True)


class _Exchange:
    """One request on its way through the desk, and the frames of its response so far."""

    def __init__(self, library: ModuleType, desk: Desk, request: Any, body: bytes, *, blocking: bool) -> None:
        url = request.url
        self.desk = desk
        self.head: Head | None = None
        self.frames: deque[Frame] = deque()
        path, _, query = url.raw_path.decode("ascii").partition("?")
        self.attempt = set_out(desk, request.method, path, counts=True, blocking=blocking)
        timeouts = request.extensions.get("timeout") or {}
        self.timeout: float | None = timeouts.get("read")
        self._late: type[Exception] = library.ReadTimeout
        self._library = library
        self._request = request
        self._wake: AsyncEvent | BlockingEvent | None = None
        desk.admit()
        try:
            connect(desk, url.host, url.port, self.attempt)
        except TimeoutError:
            self.timeout, self._late = timeouts.get("connect"), library.ConnectTimeout
            return
        except OSError as refusal:
            raise library.ConnectError(str(refusal), request=request) from refusal
        try:
            headers = headers_of(request.headers.raw)
        except BadHttp as refused:
            self._arrived(_plain(refused.status, str(refused)))
            return
        http = HttpRequest(
            method=request.method,
            host=place(url.host, url.port),
            path=path,
            query=query,
            headers=headers,
            body=body,
        )
        route = desk.hosts.route(http)
        if route is None:
            self._arrived(_plain(404, unknown_path(desk, http, self.attempt)))
        else:
            begin(desk, route, self.attempt, self._arrived)

    def _arrived(self, frame: Frame) -> None:
        self.frames.append(frame)
        if self._wake is not None:
            self._wake.set()

    async def next_frame(self) -> Frame:
        """The next frame, on asyncio or trio."""
        if self.frames:
            await anyio.lowlevel.checkpoint()
        else:
            self._wake = wake = self.desk.waits.event()
            try:
                if not self.frames:
                    await wait_for(wake, self.desk.clock, self.timeout)
            finally:
                self._wake = None
            if not self.frames:
                raise self._too_late()
        return self._checked(self.frames.popleft())

    def next_frame_blocking(self) -> Frame:
        """The next frame, in a thread."""
        if not self.frames:
            self._wake = wake = self.desk.waits.blocking_event()
            try:
                if not self.frames and not wake.wait(self.timeout):
                    raise self._too_late()
            finally:
                self._wake = None
        return self._checked(self.frames.popleft())

    def _too_late(self) -> Exception:
        return self._late(f"nothing within {self.timeout} s", request=self._request)  # type: ignore[call-arg]

    def _checked(self, frame: Frame) -> Frame:
        if frame.head is not None:
            self.head = frame.head
        if self.head is None and frame.end:
            raise self._library.RemoteProtocolError(GARBLED if frame.data else CLOSED, request=self._request)
        if frame.abort and not (frame.data or frame.end):
            raise self._library.ReadError("the provider reset the connection", request=self._request)
        return frame

    def cut(self) -> Exception:
        error: Exception = self._library.RemoteProtocolError(CUT, request=self._request)
        return error

    def closed(self, read: int) -> None:
        """The client has closed the response, having read so many bytes of its body."""
        closed(self.desk, self.attempt, read)


def transport(library: ModuleType, desk: Desk) -> Any:
    """A transport for the sync and async clients of `library` (`httpx` or `httpx2`)."""
    bases: Any = (library.AsyncBaseTransport, library.BaseTransport)
    async_stream, blocking_stream = _async_stream_type(library), _blocking_stream_type(library)

    class Transport(*bases):  # type: ignore[misc]
        """Brings a client's requests to the desk."""

        async def handle_async_request(self, request: Any) -> Any:
            exchange = _Exchange(library, desk, request, await request.aread(), blocking=False)
            try:
                first = await exchange.next_frame()
            except BaseException:
                left(desk, exchange.attempt)
                raise
            return _response(library, first, async_stream(exchange, first))

        def handle_request(self, request: Any) -> Any:
            exchange = _Exchange(library, desk, request, request.read(), blocking=True)
            try:
                first = exchange.next_frame_blocking()
            except BaseException:
                left(desk, exchange.attempt)
                raise
            return _response(library, first, blocking_stream(exchange, first))

        def __repr__(self) -> str:
            return f"<wavetank transport for {library.__name__} at {desk!r}>"

    return Transport()


class _Stream:
    """What both kinds of body stream have in common: they can be read once."""

    def __init__(self, exchange: _Exchange, first: Frame) -> None:
        self._exchange = exchange
        self._frame: Frame | None = first
        self._read = 0

    def _take(self, frame: Frame) -> bytes:
        self._read += len(frame.data)
        return frame.data

    def _goes_on(self, frame: Frame) -> bool:
        if frame.abort:
            head = self._exchange.head
            if head is not None and head.length == self._read:
                return False  # as much as was announced: a client reads no further
            raise self._exchange.cut()
        return not frame.end


def _async_stream_type(library: ModuleType) -> Callable[[_Exchange, Frame], Any]:
    class AsyncStream(_Stream, library.AsyncByteStream):  # type: ignore[misc, name-defined]
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while self._frame is not None:
                frame, self._frame = self._frame, None
                if data := self._take(frame):
                    yield data
                if self._goes_on(frame):
                    self._frame = await self._exchange.next_frame()

        async def aclose(self) -> None:
            self._exchange.closed(self._read)

    return AsyncStream


def _blocking_stream_type(library: ModuleType) -> Callable[[_Exchange, Frame], Any]:
    class BlockingStream(_Stream, library.SyncByteStream):  # type: ignore[misc, name-defined]
        def __iter__(self) -> Iterator[bytes]:
            while self._frame is not None:
                frame, self._frame = self._frame, None
                if data := self._take(frame):
                    yield data
                if self._goes_on(frame):
                    self._frame = self._exchange.next_frame_blocking()

        def close(self) -> None:
            self._exchange.closed(self._read)

    return BlockingStream


def _response(library: ModuleType, first: Frame, stream: Any) -> Any:
    assert first.head is not None
    return library.Response(
        first.head.status,
        headers=raw_headers(first),
        stream=stream,
        extensions={"http_version": b"HTTP/1.1"},
    )
