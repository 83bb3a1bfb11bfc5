"""The provider's side of one HTTP/1.1 connection: bytes in, bytes out, no socket.

The in-memory network and a real server feed the same handler. HTTP is parsed by h11.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final, final

import h11

from ..provider.wire import Dialect, Frame, Head, HttpRequest
from .desk import Desk
from .exchange import Attempt, begin

MAX_BODY: Final = 64 * 1024 * 1024
"""The longest request body in bytes; a longer one is answered with 413."""


def too_large() -> str:
    """What a client with a longer body is told."""
    return f"the request body is longer than {MAX_BODY} bytes\n"


@final
class ServerConnection:
    """Parses requests, passes them to the desk, and queues the bytes of the replies.

    `wake` is called whenever there is something new to send or the connection has ended.
    """

    def __init__(
        self,
        desk: Desk,
        dialect_of: Callable[[HttpRequest], Dialect],
        host: str,
        *,
        wake: Callable[[], object],
    ) -> None:
        self.ended = False
        """The provider closed the connection; what is queued may still be read."""
        self.reset = False
        """The provider broke the connection off before it answered."""
        self.desk = desk
        desk.connected(self.close)
        self._dialect_of = dialect_of
        self._host = host
        self._wake = wake
        self._http = h11.Connection(h11.SERVER)
        self._out = bytearray()
        self._request: h11.Request | None = None
        self._body = bytearray()
        self._sender: Attempt | None = None
        self._attempt: Attempt | None = None
        self._begun = False
        self._head_taken = False
        self._replied = False
        self._end_mark = 0

    def close(self) -> None:
        """End the connection from the provider's side."""
        if not self.ended:
            self._end()

    # -- the client's side ------------------------------------------------------------------

    def receive(self, data: bytes, attempt: Attempt | None = None) -> None:
        """Take bytes from the client; `attempt` is who sends them."""
        with self.desk.lock:
            if self.ended:
                return
            self._sender = attempt
            self._http.receive_data(data)
            self._read_on()

    def take(self, limit: int) -> bytes:
        """Up to `limit` bytes for the client; empty when there is nothing yet."""
        with self.desk.lock:
            data = bytes(self._out[:limit])
            self._head_taken = self._begun
            del self._out[:limit]
            return data

    @property
    def readable(self) -> bool:
        """Whether a client that reads now gets something: bytes, or the end of the connection."""
        return bool(self._out) or self.ended

    @property
    def pending(self) -> int:
        """How many bytes there are for the client."""
        return len(self._out)

    def line_length(self, limit: int) -> int:
        """How many bytes to take, at most `limit`, so as not to go beyond the end of a line."""
        with self.desk.lock:
            end = self._out.find(b"\n", 0, limit)
        return limit if end < 0 else end + 1

    def handed_over(self) -> None:
        """What was taken is with the client: a reply whose body it has whole has reached it."""
        record = self._attempt.record if self._attempt is not None else None
        if self._replied and len(self._out) <= self._end_mark and record is not None:
            self.desk.reached(record)

    def hang_up(self) -> None:
        """The client closed the connection; an answer it has not read whole is lost to it.

        A refusal has reached it with its head.
        """
        self.ended = True
        record = self._attempt.record if self._attempt is not None else None
        if record is None:
            return
        if self._head_taken and record.status != 200:
            self.desk.reached(record)
        elif not self._replied or self._out:
            self.desk.leave(record)

    # -- reading --------------------------------------------------------------------------------

    def _read_on(self) -> None:
        try:
            self._read_events()
        except h11.RemoteProtocolError as error:
            self._protocol_error(error)

    def _read_events(self) -> None:
        while True:
            event = self._http.next_event()
            if isinstance(event, h11.Request):
                self._request, self._body = event, bytearray()
                if self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[]))
                    self._wake()
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > MAX_BODY:
                    return self._too_large()
            elif isinstance(event, h11.EndOfMessage):
                self._arrived()
            elif isinstance(event, h11.ConnectionClosed):
                return self._end()
            else:
                return None

    def _arrived(self) -> None:
        assert self._request is not None
        request = _http_request(self._request, self._host, bytes(self._body))
        self._body = bytearray()
        self._attempt = self._sender or Attempt(self.desk.clock.now())
        self._replied = self._begun = self._head_taken = False
        begin(self.desk, self._dialect_of(request), request, self._attempt, self._write)

    # -- writing ----------------------------------------------------------------------------------

    def _write(self, frame: Frame) -> None:
        if self.ended:
            return
        if frame.head is not None:
            self._begun = True
            whole = len(frame.data) if frame.end and not frame.abort else frame.head.length
            self._send(_response(frame.head, length=whole))
        if frame.data and not self._bodiless:
            self._send(h11.Data(data=frame.data))
        if frame.abort:
            self.reset = not self._begun
            self._end()
            return
        if frame.end:
            before = len(self._out)
            self._send(h11.EndOfMessage())
            self._end_mark = len(self._out) - before
            self._replied = True
            self._next_request()
        self._wake()

    def _next_request(self) -> None:
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._read_on()
        else:
            self._end()

    @property
    def _bodiless(self) -> bool:
        """Whether the response may have a head only."""
        return self._request is not None and self._request.method == b"HEAD"

    def _send(self, event: h11.Event) -> None:
        self._out += self._http.send(event) or b""

    def _too_large(self) -> None:
        self._plain(413, too_large())
        self._end()

    def _protocol_error(self, error: h11.RemoteProtocolError) -> None:
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self._plain(error.error_status_hint, f"this is not HTTP/1.1: {error}\n")
        self._end()

    def _plain(self, status: int, text: str) -> None:
        body = text.encode()
        self._send(
            _response(
                Head(status, (("content-type", "text/plain"), ("connection", "close"))), length=len(body)
            )
        )
        if not self._bodiless:
            self._send(h11.Data(data=body))
        self._send(h11.EndOfMessage())

    def _end(self) -> None:
        self.ended = True
        self._wake()

    def __repr__(self) -> str:
        state = "ended" if self.ended else "open"
        return f"<ServerConnection {self._host} {state}>"


def _http_request(request: h11.Request, host: str, body: bytes) -> HttpRequest:
    path, _, query = request.target.decode("latin-1").partition("?")
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers}
    return HttpRequest(
        method=request.method.decode("latin-1"), host=host, path=path, query=query, headers=headers, body=body
    )


def _response(head: Head, *, length: int | None) -> h11.Response:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers]
    if length is not None:
        headers.append((b"content-length", str(length).encode()))
    return h11.Response(status_code=head.status, headers=headers, reason=_reason(head.status))


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Unknown"
