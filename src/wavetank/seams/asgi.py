"""The provider as an ASGI application, for those who mount one; it streams and buffers nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, final

import anyio

from ..provider.http import Frame, HttpRequest
from .desk import Desk
from .errors import ConnectionLost
from .exchange import Attempt, begin, left, reached, set_out
from .request_reader import MAX_BODY, BadHttp, headers_of, too_large
from .waiting import AsyncEvent

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_GONE: Final = "http.disconnect"


@final
class AsgiApp:
    """Answers for the host in the `Host` header, or else for the host that path and headers imply."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            raise ValueError(f"the fake provider answers HTTP only, not {scope['type']}")

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._desk.admit()
        attempt = set_out(self._desk, scope["method"], scope["path"])
        body = await _body(receive)
        if body is None:
            return
        if len(body) > MAX_BODY:
            await _plain(send, 413, f"{too_large()}\n")
            return
        try:
            request = _request(scope, body)
        except BadHttp as refused:
            await _plain(send, refused.status, f"{refused}\n")
            return
        exchange = _Exchange(self._desk, attempt, send)
        begin(self._desk, self._desk.hosts.route_here(request), exchange.attempt, exchange.put)
        await exchange.run(receive)

    def __repr__(self) -> str:
        return f"<AsgiApp at {self._desk!r}>"


@final
class _Exchange:
    """One response on its way out; the client may hang up at any moment."""

    def __init__(self, desk: Desk, attempt: Attempt, send: Send) -> None:
        self.attempt = attempt
        self._desk = desk
        self._send = send
        self._frames: deque[Frame] = deque()
        self._wake: AsyncEvent | None = None
        self._broken = False
        self._done = False

    def put(self, frame: Frame) -> None:
        self._frames.append(frame)
        if self._wake is not None:
            self._wake.set()

    async def run(self, receive: Receive) -> None:
        """Send all of it, or stop where the client hangs up or the provider breaks off."""
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_until_gone, receive, group.cancel_scope)
                await self._send_all()
                group.cancel_scope.cancel()
        finally:
            if self._done:
                reached(self._desk, self.attempt)
            else:
                left(self._desk, self.attempt)
        if self._broken:
            raise ConnectionLost("the connection broke before the answer was whole", status=0)

    async def _send_all(self) -> None:
        while not self._done and not self._broken:
            frame = await self._next()
            done = frame.end and not frame.abort
            if frame.head is not None:
                await self._send(_start(frame))
            if frame.data or done:
                await self._send({"type": "http.response.body", "body": frame.data, "more_body": not done})
                self.attempt.read += len(frame.data)
            self._done, self._broken = done, frame.abort

    async def _next(self) -> Frame:
        while not self._frames:
            self._wake = wake = self._desk.waits.event()
            try:
                if not self._frames:
                    await wake.wait()
            finally:
                self._wake = None
        return self._frames.popleft()


async def _until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != _GONE:
        pass
    scope.cancel()


async def _body(receive: Receive) -> bytes | None:
    """The request body, at most a little longer than the limit; `None` if the client left meanwhile."""
    body = bytearray()
    while len(body) <= MAX_BODY:
        message = await receive()
        if message["type"] == _GONE:
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body)


def _request(scope: Scope, body: bytes) -> HttpRequest:
    headers = headers_of(scope["headers"])
    return HttpRequest(
        method=scope["method"],
        host=headers.get("host", ""),
        path=scope["path"],
        query=scope.get("query_string", b"").decode("latin-1"),
        headers=headers,
        body=body,
    )


def _start(frame: Frame) -> MutableMapping[str, Any]:
    head = frame.head
    assert head is not None
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers]
    length = len(frame.data) if frame.end and not frame.abort else head.length
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return {"type": "http.response.start", "status": head.status, "headers": headers}


async def _plain(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
