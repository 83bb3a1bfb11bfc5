"""Reads HTTP/1.1 requests from bytes: strict, bounded, and without a socket.

What RFC 9112 leaves open is decided against the client: folded lines, two lengths, and a length
beside chunks are refused. Line ends may be a line feed alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final, final

import msgspec

MAX_HEAD: Final = 65536
"""The longest request line and headers together, in bytes; longer ones are answered with 431."""

MAX_FIELDS: Final = 128
"""The most headers of a request; more are answered with 431."""

MAX_BODY: Final = 32 * 1024 * 1024
"""The longest request body in bytes; a longer one is answered with 413."""

_MAX_LINE: Final = 4096
_MAX_NAME: Final = 256
_NO_HTTP: Final = "this is not HTTP/1.1"
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_REQUEST_LINE: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([^\x00-\x20\x7f]+) HTTP/(\d)\.(\d)")
_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_ABSOLUTE: Final = re.compile(r"https?://([^/?#]+)(.*)", re.IGNORECASE)


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


@final
class RequestReader:
    """Takes bytes in and gives whole requests out, one at a time."""

    def __init__(self) -> None:
        self.head: RequestHead | None = None
        """The request that is being read, once its head is whole."""
        self._bytes = bytearray()
        self._seen = 0
        self._body = bytearray()
        self._left = 0
        self._step: Callable[[], bool] = self._read_head
        self._whole = False

    @property
    def buffered(self) -> int:
        """Bytes that are not yet part of a whole request."""
        return len(self._bytes) + len(self._body)

    @property
    def waits_for_continue(self) -> bool:
        """Whether the client holds the body back until it is told to go on."""
        head = self.head
        return (
            head is not None
            and not self._whole
            and not self._body
            and not self._bytes
            and head.minor == 1
            and head.headers.get("expect", "").lower() == "100-continue"
        )

    def feed(self, data: bytes) -> None:
        """Take bytes of the client."""
        self._bytes += data

    def next(self) -> tuple[RequestHead, bytes] | None:
        """The next whole request with its body, if it is there.

        Raises:
            BadHttp: what came is no request, or too much.
        """
        while not self._whole:
            if not self._step():
                return None
        assert self.head is not None
        request = self.head, bytes(self._body)
        self.head, self._whole, self._step = None, False, self._read_head
        self._body.clear()
        return request

    # -- the head --------------------------------------------------------------------------------

    def _read_head(self) -> bool:
        data = self._bytes
        while data.startswith((b"\r\n", b"\n")):
            del data[: 1 if data[0] == 10 else 2]
            self._seen = 0
        _check_beginning(data)
        end = _HEAD_END.search(data, max(0, self._seen - 2), MAX_HEAD)
        if end is None:
            self._seen = len(data)
            if len(data) >= MAX_HEAD:
                raise BadHttp(431, f"request line and headers are longer than {MAX_HEAD} bytes")
            return False
        text = data[: end.start()].decode("latin-1")
        del data[: end.end()]
        self._seen = 0
        self.head = head = _parsed(text)
        self._begin_body(head)
        return True

    def _begin_body(self, head: RequestHead) -> None:
        coding = head.headers.get("transfer-encoding")
        length = head.headers.get("content-length")
        if head.headers.get("expect", "100-continue").lower() != "100-continue":
            raise BadHttp(417, "the only expectation that can be met is 100-continue")
        if coding is not None:
            if length is not None or head.minor == 0:
                raise BadHttp(400, f"{_NO_HTTP}: Transfer-Encoding beside Content-Length or in HTTP/1.0")
            if coding.lower() != "chunked":
                raise BadHttp(501, "the only transfer coding that is understood is chunked")
            self._step = self._read_chunk_size
            return
        self._left = _length(length) if length is not None else 0
        if self._left > MAX_BODY:
            raise too_large()
        self._step, self._whole = self._read_body, not self._left

    # -- the body --------------------------------------------------------------------------------

    def _read_body(self) -> bool:
        taken = self._take_body()
        self._whole = not self._left
        return taken

    def _take_body(self) -> bool:
        """Move what has come of the body, or of a chunk; False if nothing has."""
        data = self._bytes
        if not data:
            return False
        if self._left >= len(data):
            self._left -= len(data)
            self._body += data
            data.clear()
        else:
            self._body += memoryview(data)[: self._left]
            del data[: self._left]
            self._left = 0
        return True

    def _read_chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        size = _CHUNK.fullmatch(line)
        if size is None:
            raise BadHttp(400, f"{_NO_HTTP}: a chunk begins with its size in hex digits")
        self._left = int(size[1], 16)
        if len(self._body) + self._left > MAX_BODY:
            raise too_large()
        self._step = self._read_chunk if self._left else self._read_trailers
        self._seen = 0
        return True

    def _read_chunk(self) -> bool:
        if self._left:
            return self._take_body()
        if not self._bytes or self._bytes == b"\r":
            return False
        if self._line() != b"":
            raise BadHttp(400, f"{_NO_HTTP}: a chunk is longer than its size")
        self._step = self._read_chunk_size
        return True

    def _read_trailers(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._seen += len(line)
        if self._seen > MAX_HEAD:
            raise BadHttp(431, f"the trailers are longer than {MAX_HEAD} bytes")
        if not line:
            self._seen, self._whole = 0, True
        return True

    def _line(self) -> bytes | None:
        """The next line without its end, if it is there."""
        data = self._bytes
        end = data.find(b"\n", 0, _MAX_LINE)
        if end < 0:
            if len(data) >= _MAX_LINE:
                raise BadHttp(400, f"{_NO_HTTP}: a line between chunks is longer than {_MAX_LINE} bytes")
            return None
        line = bytes(data[:end]).removesuffix(b"\r")
        del data[: end + 1]
        return line


def too_large() -> BadHttp:
    """What a client with too long a body is told."""
    return BadHttp(413, f"the request body is longer than {MAX_BODY} bytes")


def _check_beginning(data: bytearray) -> None:
    """Bytes that can never become a request are refused at once, not when the client gives up."""
    if data and data != b"\r" and not 33 <= data[0] < 127:
        raise BadHttp(400, f"{_NO_HTTP}: it does not begin with a method")


def _parsed(text: str) -> RequestHead:
    text = text.removesuffix("\r").replace("\r\n", "\n")
    if _CONTROL.search(text):
        raise BadHttp(400, f"{_NO_HTTP}: there are control characters in its head")
    lines = text.split("\n")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        raise BadHttp(400, f"{_NO_HTTP}: the first line is not a method, a target and a version")
    if match[3] != "1":
        raise BadHttp(505, f"HTTP/1.1 is spoken here, not HTTP/{match[3]}.{match[4]}")
    if len(lines) - 1 > MAX_FIELDS:
        raise BadHttp(431, f"there are more than {MAX_FIELDS} headers")
    minor = min(int(match[4]), 1)
    headers = _fields(lines)
    if minor and "host" not in headers:
        raise BadHttp(400, f"{_NO_HTTP}: there is no Host header")
    target = match[2]
    if (absolute := _ABSOLUTE.fullmatch(target)) is not None:
        headers["host"], target = absolute[1], absolute[2] or "/"
    close = not minor or "close" in headers.get("connection", "").lower()
    return RequestHead(match[1], target, minor, headers, close)


def _fields(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines[1:]:
        raw, colon, value = line.partition(":")
        name = _field_name(raw) if len(raw) <= _MAX_NAME else None
        if name is None or not colon:
            raise BadHttp(400, f"{_NO_HTTP}: a header is a name, a colon and a value on one line")
        value = value.strip(" \t")
        if name in headers:
            value = _joined(name, headers[name], value)
        headers[name] = value
    return headers


@lru_cache(maxsize=1024)
def _field_name(raw: str) -> str | None:
    return raw.lower() if _NAME.fullmatch(raw) else None


def _joined(name: str, one: str, other: str) -> str:
    """A header that comes twice is a list, but for those that frame the message."""
    if name == "content-length" and one == other:
        return one
    if name in ("content-length", "host", "transfer-encoding"):
        raise BadHttp(400, f"{_NO_HTTP}: it has two {name} headers")
    return f"{one}, {other}"


def _length(value: str) -> int:
    if _LENGTH.fullmatch(value) is None:
        raise BadHttp(400, f"{_NO_HTTP}: Content-Length is a number of bytes")
    return int(value)
