"""Reads HTTP/1.1 requests from bytes: strict, bounded, and without a socket.

llhttp parses, and refuses what may be read in two ways; here are the limits, and what the server
cannot do.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, final

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

MAX_HEAD: Final = 65536
"""The longest request line and headers together, in bytes; longer ones are answered with 431."""

MAX_FIELDS: Final = 128
"""The most headers of a request; more are answered with 431."""

MAX_BODY: Final = 32 * 1024 * 1024
"""The longest request body in bytes; a longer one is answered with 413."""

MAX_BODIES: Final = 512 * 1024 * 1024
"""How many bytes of large request bodies a server holds for all its clients; one more gets 503."""

LARGE: Final = 65536
"""A body up to so many bytes is not counted among the large ones."""

_NO_HTTP: Final = "this is not HTTP/1.1"
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]+)(.*)", re.IGNORECASE)
_ONCE: Final = frozenset({"content-length", "host", "transfer-encoding"})


@final
class BadHttp(Exception):
    """A request that cannot be taken; the connection ends after the answer `status`, `text`."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@final
class RequestHead(msgspec.Struct):
    """Request line and headers; names are lower-case, and `close` ends the connection afterwards."""

    method: str
    target: str
    minor: int
    headers: dict[str, str]
    close: bool

    def __repr__(self) -> str:
        """Without what may be secret."""
        return f"<RequestHead {self.method} {self.target.partition('?')[0]}>"


@final
class Room:
    """What there is for the large bodies of all connections together."""

    def __init__(self, size: int = MAX_BODIES) -> None:
        self.size = size
        self.left = size

    def take(self, size: int) -> None:
        """Keep so many bytes.

        Raises:
            BadHttp: there is no room for them.
        """
        if size > self.left:
            text = (
                f"the bodies of all requests together are longer than {self.size} bytes: send fewer at once"
            )
            raise BadHttp(503, text)
        self.left -= size

    def __repr__(self) -> str:
        return f"<Room [{self.left} of {self.size} bytes left]>"


@final
class RequestReader:
    """Takes bytes in and gives whole requests out, one at a time; `room` is for its large bodies."""

    def __init__(self, room: Room | None = None) -> None:
        self._message = _Message(room)
        self._trouble: BadHttp | None = None
        self._room = room
        self._given_out = 0

    @property
    def head(self) -> RequestHead | None:
        """The request that is being read, once its head is whole."""
        return self._message.head

    @property
    def buffered(self) -> int:
        """About how many bytes have come of what is not yet given out."""
        return self._message.ahead + self._message.size + (self._trouble is not None)

    @property
    def waits_for_continue(self) -> bool:
        """Whether the client holds the body back until it is asked to continue."""
        head = self.head
        return head is not None and not self._message.body and head.minor == 1 and "expect" in head.headers

    def feed(self, data: bytes) -> None:
        """Take bytes of the client."""
        if self._trouble is None:
            try:
                self._message.parse(data)
            except BadHttp as trouble:
                self._trouble = trouble

    def next(self) -> tuple[RequestHead, bytes] | None:
        """The next whole request with its body, if it is there.

        Raises:
            BadHttp: what came is no request, or too much.
        """
        if self._message.whole:
            head, body, size, kept = self._message.whole.popleft()
            self._message.ahead -= size
            self._given_out += kept
            return head, body
        if self._trouble is not None:
            raise self._trouble
        return None

    def done(self) -> None:
        """The bodies given out are not held any more."""
        if self._room is not None and self._given_out:
            self._room.left += self._given_out
            self._given_out = 0

    def close(self) -> None:
        """Nothing more is read: drop all bodies."""
        if self._room is not None:
            self._given_out += self._message.let_go()
            self.done()


@final
class _Message:
    """What the parser calls back: the request that is being read, and those that are whole."""

    def __init__(self, room: Room | None) -> None:
        self.whole = deque[tuple[RequestHead, bytes, int, int]]()
        self.ahead = 0
        self._room = room
        self._parser = HttpRequestParser(self)
        self._silent = 0
        self._reset(0)

    def _reset(self, size: int) -> None:
        self.head: RequestHead | None = None
        self.body = bytearray()
        self.size = size
        self._kept = 0
        self._target = b""
        self._headers: dict[str, str] = {}
        self._fields = 0
        self._doubled = ""

    def parse(self, data: bytes) -> None:
        self._silent += len(data)
        rest: memoryview | None = memoryview(data)
        try:
            while rest is not None:
                rest = self._read_on(rest)
        except HttpParserError as error:
            raise self._refusal(error) from None
        if self._silent > MAX_HEAD:
            raise _too_long()

    def _read_on(self, data: memoryview) -> memoryview | None:
        """Read to the end, or to the end of a head that offers another protocol; what is left then.

        No other protocol is supported: the head is read again without the offer, and the body after it.
        """
        try:
            self._parser.feed_data(data)
            return None
        except HttpParserUpgrade as offered:
            rest = data[offered.args[0] :]
        self._parser = HttpRequestParser(self)
        self._parser.feed_data(self._without_upgrade())
        return rest

    def _without_upgrade(self) -> bytes:
        head = self.head
        assert head is not None
        lines = [f"{head.method} {head.target} HTTP/1.{head.minor}"]
        lines += [f"{name}: {value}" for name, value in head.headers.items() if name != "upgrade"]
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1")

    def _refusal(self, error: HttpParserError) -> BadHttp:
        if isinstance(error.__context__, BadHttp):
            return error.__context__
        version = self._parser.get_http_version()
        if version[0] not in "01":
            return BadHttp(505, f"this server supports HTTP/1.1, not HTTP/{version}")
        return BadHttp(400, f"{_NO_HTTP}: {error}")

    def on_message_begin(self) -> None:
        self._reset(1)

    def on_url(self, part: bytes) -> None:
        self._target += part
        self._grow(len(part))

    def on_header(self, raw: bytes, value: bytes) -> None:
        self._grow(len(raw) + len(value) + 4)
        if self.head is not None:
            return  # a trailer
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise BadHttp(431, f"there are more than {MAX_FIELDS} headers")
        name = _name(raw)
        if name in self._headers and name in _ONCE:
            # Decided at the end of the head: how the bytes were cut decides whether the parser first
            # sees what else is wrong.
            self._doubled = name
            return
        _add(self._headers, name, value)

    def _grow(self, size: int) -> None:
        self._silent = 0
        self.size += size
        if self.size - len(self.body) > MAX_HEAD:
            raise _too_long()

    def on_headers_complete(self) -> None:
        method, version = self._parser.get_method().decode(), self._parser.get_http_version()
        headers, target = self._headers, self._target.decode("latin-1")
        if self._doubled:
            raise _doubled(self._doubled)
        _check(method, version, headers)
        self.size += len(method) + len("  HTTP/1.1\r\n\r\n") - 1
        if (absolute := _ABSOLUTE.fullmatch(target)) is not None:
            headers["host"], target = absolute[1], absolute[2] or "/"
        close = version == "1.0" or "close" in headers.get("connection", "").lower()
        self.head = RequestHead(method, target, int(version[2]), headers, close)

    def on_body(self, part: bytes) -> None:
        self._silent = 0
        self.body += part
        self.size += len(part)
        if len(self.body) > LARGE:
            self._keep(len(self.body))

    def _keep(self, size: int) -> None:
        """A body has become large, or larger."""
        if size > MAX_BODY:
            raise too_large()
        if self._room is not None:
            self._room.take(size - self._kept)
            self._kept = size

    def let_go(self) -> int:
        """Forget what is there; how many bytes of it were kept in the room."""
        kept = self._kept + sum(each[3] for each in self.whole)
        self.whole.clear()
        self._reset(0)
        return kept

    def on_message_complete(self) -> None:
        assert self.head is not None
        if not self._parser.should_upgrade():
            self._silent = 0
            self.whole.append((self.head, bytes(self.body), self.size, self._kept))
            self.ahead += self.size
            self._reset(0)


def too_large() -> BadHttp:
    """The response to a client whose body is too long."""
    return BadHttp(413, f"the request body is longer than {MAX_BODY} bytes")


def _too_long() -> BadHttp:
    return BadHttp(431, f"request line and headers, or trailers, are longer than {MAX_HEAD} bytes")


def _check(method: str, version: str, headers: dict[str, str]) -> None:
    """Refuse what the parser lets through and the server cannot do."""
    if version not in ("1.0", "1.1"):
        raise BadHttp(505, f"this server supports HTTP/1.1, not HTTP/{version}")
    if method == "CONNECT":
        raise BadHttp(501, "this server is no proxy for CONNECT")
    if version == "1.1" and "host" not in headers:
        raise BadHttp(400, f"{_NO_HTTP}: there is no Host header")
    if headers.get("expect", "100-continue").lower() != "100-continue":
        raise BadHttp(417, "the only expectation that can be met is 100-continue")
    if headers.get("transfer-encoding", "chunked").lower() != "chunked":
        raise BadHttp(501, "the only transfer coding that is understood is chunked")
    if "transfer-encoding" in headers and version == "1.0":
        raise BadHttp(400, f"{_NO_HTTP}: HTTP/1.0 knows no Transfer-Encoding")
    if int(headers.get("content-length", 0)) > MAX_BODY:
        raise too_large()


def headers_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers as they were sent, their names in lower case.

    Raises:
        BadHttp: one is there twice that must be there once.
    """
    headers: dict[str, str] = {}
    for raw, value in pairs:
        name = _name(raw)
        if name in headers and name in _ONCE:
            raise _doubled(name)
        _add(headers, name, value)
    return headers


def _add(headers: dict[str, str], name: str, value: bytes) -> None:
    """Those of one name are one list (RFC 9110, 5.3); that of cookies has semicolons (RFC 9113, 8.2.3)."""
    text = _text(value) if len(value) <= _SHORT else _text.__wrapped__(value)
    if name in headers:
        text = f"{headers[name]}{'; ' if name == 'cookie' else ', '}{text}"
    headers[name] = text


def _doubled(name: str) -> BadHttp:
    return BadHttp(400, f"{_NO_HTTP}: it has two {name} headers")


_SHORT: Final = 256
"""A header of so many bytes is kept once for all requests that have it: a run keeps them all."""


@lru_cache(maxsize=1024)
def _text(value: bytes) -> str:
    return value.decode("latin-1").strip(" \t")


@lru_cache(maxsize=1024)
def _name(raw: bytes) -> str:
    return raw.decode("latin-1").lower()
