"""The provider's side of one HTTP/1.1 connection: bytes in, bytes out, no socket.

The in-memory network and a real server feed the same handler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from http import HTTPStatus
from typing import Final, Protocol, final

from ..clock import SECOND, Timer
from ..provider.host_rules import Route
from ..provider.http import WITHOUT_BODY, Frame, Head, HttpRequest
from ..sim.processes import current_process
from .desk import Desk
from .exchange import Attempt, begin, left, reached
from .request_reader import BadHttp, RequestHead, RequestReader, Room
from .unknown_hosts import unknown_path

PATIENCE: Final = 60 * SECOND
"""How long a client may take for one request, from its first byte to its last, before it gets 408."""

IDLE: Final = 75 * SECOND
"""How long a connection is kept on which nothing happens; nginx's default for `keepalive_timeout`."""

MAX_AHEAD: Final = 65536
"""A connection that answers takes about so many bytes of further requests, not more."""

_LAST_CHUNK: Final = b"0\r\n\r\n"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ControlApi(Protocol):
    """Answers what is meant for the server itself and not for the provider."""

    def __call__(self, request: HttpRequest, answer: Callable[[ControlResponse], object], /) -> bool:
        """Take a request, or return False; `answer` may be called later and from any thread."""


@final
class ControlResponse:
    """A response of the control API; its parts are made when the client takes them."""

    __slots__ = ("headers", "parts", "status")

    def __init__(self, status: int, content_type: str, parts: Iterator[bytes]) -> None:
        self.status = status
        self.headers = (("content-type", content_type), ("cache-control", "no-store"))
        self.parts = parts


@final
class ServerConnection:
    """Parses requests, passes them to the desk, and queues the bytes of the replies.

    `host` is the one the client asked for; empty, the header `Host` says it. `wake` is called whenever
    there is something new to send or the connection has ended. With `idle` it ends when nothing has
    happened for so many nanoseconds and no answer is due.
    """

    speaks_http = True

    def __init__(
        self,
        desk: Desk,
        route: Callable[[HttpRequest], Route | None],
        host: str,
        *,
        wake: Callable[[], object],
        control_api: ControlApi | None = None,
        room: Room | None = None,
        idle: int | None = None,
    ) -> None:
        self.desk = desk
        self.ended = False
        """The provider closed the connection; what is queued may still be read."""
        self.reset = False
        """The provider broke the connection off before it answered."""
        self.refused = False
        """The connection ended because of what the client sent; it may be sending still."""
        self.process = current_process.get()
        """The simulated process of the program that has opened it."""
        desk.connected(self)
        self.route = route
        self.host = host
        self._wake = wake
        self._control_api = control_api
        self._reader = RequestReader(room)
        self._out = bytearray()
        self._more: Iterator[bytes] | None = None
        self._request: RequestHead | None = None
        self._sender: Attempt | None = None
        self._attempt: Attempt | None = None
        self._earlier: list[Attempt] = []
        self._chunked = False
        self._bodiless = False
        self._begun = False
        self._head_taken = False
        self._replied = True
        self._end_mark = 0
        self._told_to_go_on = False
        self._patience: Timer | None = None
        self._idle = idle
        self._active_at = 0
        self._idle_timer: Timer | None = None
        if idle is not None:
            self._active_at = desk.clock.now()
            self._watch_idle(self._active_at + idle)

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
            self._is_active()
            self._sender = attempt
            self._reader.feed(data)
            self._read_on()

    def take(self, limit: int) -> bytes:
        """Up to `limit` bytes for the client; empty when there is nothing yet."""
        with self.desk.lock:
            while self._more is not None and len(self._out) < limit:
                self._next_part()
            self._is_active()
            data = bytes(self._out[:limit])
            self._head_taken = self._begun
            del self._out[:limit]
            return data

    def peek(self, limit: int) -> bytes:
        """As `take`, but the bytes stay."""
        with self.desk.lock:
            return bytes(self._out[:limit])

    @property
    def readable(self) -> bool:
        """Whether a client that reads now gets something: bytes, or the end of the connection."""
        return bool(self._out) or self.ended or self._more is not None

    @property
    def to_take(self) -> bool:
        """Whether `take` gives bytes, or may."""
        return bool(self._out) or self._more is not None

    @property
    def pending(self) -> int:
        """How many bytes there are for the client."""
        return len(self._out)

    @property
    def full(self) -> bool:
        """Whether the client should be kept from sending more for now."""
        return self._busy and self._reader.buffered >= MAX_AHEAD

    @property
    def _busy(self) -> bool:
        """Whether a reply is due, or not yet with the client; requests behind it wait."""
        return not self._replied or len(self._out) > self._end_mark

    @property
    def at_rest(self) -> bool:
        """Whether no request and no reply is under way, not even a part of one."""
        return not self._busy and self._reader.head is None and not self._reader.buffered

    def end_after_page(self) -> bool:
        """End with the page of the control API that is under way, if there is one."""
        if self._replied or self._attempt is not None or self._request is None:
            return False
        self._request.close = True
        return True

    def line_length(self, limit: int) -> int:
        """How many bytes to take, at most `limit`, so as not to go beyond the end of a line."""
        with self.desk.lock:
            end = self._out.find(b"\n", 0, limit)
        return limit if end < 0 else end + 1

    def handed_over(self) -> None:
        """What was taken is with the client: a reply whose body it has whole has reached it."""
        for attempt in self._earlier:
            reached(self.desk, attempt)
        self._earlier.clear()
        if self._busy:
            return
        if self._attempt is not None and not self._attempt.counts:
            reached(self.desk, self._attempt)
        if self._reader.buffered and not self._out and not self.ended:
            with self.desk.lock:
                self._read_on()

    def no_more_requests(self) -> None:
        """The client has closed its sending side: it still gets the answer that is due."""
        with self.desk.lock:
            if self.ended:
                return
            if self._replied or self._request is None:
                self._end()
            else:
                self._request.close = True

    def hang_up(self) -> None:
        """The client closed the connection; an answer it has not read whole is lost to it.

        A refusal has reached it with its head.
        """
        self.ended = True
        self._be_patient(False)
        self._stop_watching()
        self._reader.close()
        attempt = self._attempt
        if attempt is not None and attempt.app is not None:
            attempt.app.hang_up()
        if attempt is None or attempt.record is None:
            return
        if not attempt.counts and attempt.body:
            # An estimate, since the frames around the parts count too; it is exact once all is taken.
            attempt.read = max(attempt.body - len(self._out), int(self._head_taken))
        if self._head_taken and attempt.record.status != 200:
            reached(self.desk, attempt)
        elif not self._replied or self._out:
            left(self.desk, attempt)

    # -- reading --------------------------------------------------------------------------------

    def _read_on(self) -> None:
        """Take the next request, if it is whole; those behind it wait until it is answered."""
        if self._busy:
            return
        try:
            request = self._reader.next()
        except BadHttp as error:
            self._refuse(error.status, error.text)
            return
        if request is not None:
            self._be_patient(False)
            self._arrived(*request)
        elif self._reader.head is not None or self._reader.buffered:
            self._be_patient(True)
            if self._reader.waits_for_continue:
                self._go_on()

    def _go_on(self) -> None:
        """Tell a client once that it may send the body."""
        if not self._told_to_go_on:
            self._told_to_go_on = True
            self._out += _CONTINUE
            self._end_mark = len(self._out)
            self._wake()

    def _arrived(self, head: RequestHead, body: bytes) -> None:
        self._request = head
        self._replied = self._begun = self._head_taken = self._told_to_go_on = False
        self._end_mark = 0
        self._set_aside()
        path, _, query = head.target.partition("?")
        host = self.host or head.headers.get("host", "")
        request = HttpRequest(
            method=head.method, host=host, path=path, query=query, headers=head.headers, body=body
        )
        if self._control_api is not None and self._control_api(request, self._write_page):
            return
        attempt = self._sender or Attempt(self.desk.clock.now(), target=f"{request.method} {path}")
        route = self.route(request)
        if route is None:
            self._refuse(404, unknown_path(self.desk, request, attempt))
            return
        self._attempt = attempt
        begin(self.desk, route, attempt, self._write)

    def _set_aside(self) -> None:
        """A client may ask again before the broker knows that its reply was handed over."""
        record = self._attempt.record if self._attempt is not None else None
        if self._attempt is not None and record is not None and record.reached is None and not record.left:
            self._earlier.append(self._attempt)
        self._attempt = None

    def _be_patient(self, reading: bool) -> None:
        """Let a client that has begun a request end it in time."""
        if reading and self._patience is None:
            clock = self.desk.clock
            self._patience = clock.call_at(clock.now() + PATIENCE, self._too_slow)
        elif not reading and self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _too_slow(self) -> None:
        with self.desk.lock:
            self._patience = None
            if self._replied and not self.ended:
                self._refuse(408, f"no whole request came within {PATIENCE // SECOND} s")

    # -- idleness -----------------------------------------------------------------------------------

    def _is_active(self) -> None:
        if self._idle is not None:
            self._active_at = self.desk.clock.now()

    def _watch_idle(self, due: int) -> None:
        self._idle_timer = self.desk.clock.call_at(due, self._maybe_idle)

    def _stop_watching(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _maybe_idle(self) -> None:
        """One timer looks now and then; setting one for each request would cost more."""
        with self.desk.lock:
            self._idle_timer = None
            if self.ended or self._idle is None:
                return
            if not self._replied or self._patience is not None:
                self._is_active()  # it is the provider's turn, or another bound's
            due = self._active_at + self._idle
            if due > self.desk.clock.now():
                self._watch_idle(due)
                return
            self._out.clear()
            self._more = None
            self._end()

    # -- writing ----------------------------------------------------------------------------------

    def _write(self, frame: Frame) -> None:
        if self.ended:
            return
        if frame.head is not None:
            self._begun = True
            whole = len(frame.data) if frame.end and not frame.abort else None
            whole = whole if frame.head.length is None else frame.head.length
            self._write_head(frame.head, whole)
        if not self._begun:
            self._out += frame.data
        elif frame.data:
            self._write_data(frame.data)
        if frame.abort:
            self.reset = not (frame.data or frame.end)
            self._end()
            return
        if frame.end:
            self._write_end()
        self._wake()

    def _write_page(self, page: ControlResponse) -> None:
        with self.desk.lock:
            if not self.ended:
                self._write_head(Head(page.status, page.headers), None)
                self._more = page.parts
                self._wake()

    def _next_part(self) -> None:
        assert self._more is not None
        part = next(self._more, None)
        if part is None:
            self._more = None
            self._write_end()
        elif part:
            self._write_data(part)

    def _write_head(self, head: Head, length: int | None) -> None:
        request = self._request
        assert request is not None
        without_body = head.status in WITHOUT_BODY
        if without_body:
            length = None
        self._bodiless = request.method == "HEAD" or without_body
        self._chunked = length is None and request.minor == 1 and not without_body
        if length is None and not self._chunked and not without_body:
            request.close = True
        self._out += _encoded_head(head, length, chunked=self._chunked, close=request.close)

    def _write_data(self, data: bytes) -> None:
        if self._bodiless:
            return
        if self._chunked:
            self._out += b"%x\r\n%b\r\n" % (len(data), data)
        else:
            self._out += data

    def _write_end(self) -> None:
        request = self._request
        assert request is not None
        self._is_active()
        self._end_mark = 0
        if self._chunked and not self._bodiless:
            self._out += _LAST_CHUNK
            self._end_mark = len(_LAST_CHUNK)
        self._replied = True
        self._reader.done()
        if request.close:
            self._end()

    def _refuse(self, status: int, text: str) -> None:
        """Answer what is no request, and end the connection."""
        self._attempt = None
        body = f"{text}\n".encode()
        head = Head(status, (("content-type", "text/plain; charset=utf-8"),))
        self._out += _encoded_head(head, len(body), chunked=False, close=True) + body
        self.refused = True
        self._end()

    def _end(self) -> None:
        self.ended = True
        self._be_patient(False)
        self._stop_watching()
        self._reader.close()
        self._wake()

    def __repr__(self) -> str:
        state = "ended" if self.ended else "open"
        return f"<ServerConnection {self.host} {state}>"


def _encoded_head(head: Head, length: int | None, *, chunked: bool, close: bool) -> bytes:
    lines = [_status_line(head.status)]
    lines += [f"{name}: {value}" for name, value in head.headers]
    if length is not None:
        lines.append(f"content-length: {length}")
    elif chunked:
        lines.append("transfer-encoding: chunked")
    if close:
        lines.append("connection: close")
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1:
        raise ValueError(f"a header of the reply breaks its line: {head.headers!r}")
    return f"{text}\r\n\r\n".encode("latin-1")


@lru_cache(maxsize=256)
def _status_line(status: int) -> str:
    return f"HTTP/1.1 {status} {reason_of(status)}"


def reason_of(status: int) -> str:
    """The reason phrase of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
