"""Faults of the body: cut short, empty, a wrong length, a page of HTML, or bytes that are no HTTP."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ...scenario import FaultKind
from ..http import Frame, Head
from .effect import BROKEN, FaultEffect, Position, first_half, half_event

# More than any answer of the fake has.
_EXTRA_LENGTH: Final = 1 << 20

# The page of nginx, which stands before many providers.
_HTML: Final = b"""<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""


def _truncated_json(frame: Frame, position: Position) -> Frame:
    """The client gets half a chunk, or half a body, and then the proper end of the response.

    Nothing in HTTP says that something is missing.
    """
    if position.whole:
        return first_half(frame)
    if position.index <= position.last_good:
        return frame
    return replace(frame, data=half_event(frame.data)[0] if position.first_bad else b"")


def _length_too_long(frame: Frame, position: Position) -> Frame:
    """The client gets the whole answer and waits for more, until the connection ends."""
    head = frame.head and replace(frame.head, length=len(frame.data) + _EXTRA_LENGTH)
    return replace(frame, head=head, end=False, abort=position.last)


def _length_too_short(frame: Frame, position: Position) -> Frame:
    """The client gets half of a body, or half of a stream's first event, as if that were all.

    The connection ends then: the other half would be read as the beginning of the next answer.
    """
    if position.index:
        return BROKEN
    short = first_half(frame)
    head = frame.head and replace(frame.head, length=len(short.data))
    return replace(short, head=head, end=False, abort=True)


def _empty_body(frame: Frame, _position: Position) -> Frame:
    """The client gets status 200 and no body; a stream without a single event."""
    return replace(frame, data=b"")


def _html_body(frame: Frame, position: Position) -> Frame:
    """The client gets status 502 and a page of HTML, without any header of the provider's own."""
    return replace(frame, head=_gateway_head(frame.head), data=b"" if position.index else _HTML)


def _gateway_head(head: Head | None) -> Head | None:
    if head is None:
        return None
    date = tuple(pair for pair in head.headers if pair[0] == "date")
    return Head(502, (("content-type", "text/html"), *date))


def _bad_gzip(frame: Frame, _position: Position) -> Frame:
    """The client gets an answer that is said to be compressed, and is not."""
    head = frame.head
    if head is None:
        return frame
    return replace(frame, head=replace(head, headers=(*head.headers, ("content-encoding", "gzip"))))


def _raw(data: bytes) -> FaultEffect:
    """The client gets these bytes in place of a response, and the connection ends."""
    return FaultEffect(damage="unreadable", change=lambda *_: Frame(data=data, end=True, abort=True))


BODY_FAULTS: Final[dict[FaultKind, FaultEffect]] = {
    "truncated-json": FaultEffect(damage="unreadable", change=_truncated_json),
    "length-too-long": FaultEffect(damage="lost", change=_length_too_long, keeps_text=True),
    "length-too-short": FaultEffect(damage="unreadable", change=_length_too_short),
    "empty-body": FaultEffect(damage="unreadable", change=_empty_body),
    "html-body": FaultEffect(damage="unreadable", change=_html_body),
    "bad-gzip": FaultEffect(damage="unreadable", change=_bad_gzip),
    "malformed-status-line": _raw(b"HTTP/1.1 OK\r\n\r\n"),
    "malformed-headers": _raw(b"HTTP/1.1 200 OK\r\ncontent type application/json\r\n\r\n"),
    "malformed-chunk-size": _raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nsize\r\n{}\r\n"),
}
"""The effects by kind."""
