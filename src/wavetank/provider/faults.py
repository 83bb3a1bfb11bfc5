"""What a fault does to the bytes of an answer: one small function for each kind.

Faults that only take time, `stall` and `slow-trickle`, change no bytes. After an answer is
spoiled its exchange still ends with its last part, except where the connection breaks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, final

from ..scenario import Fault, FaultKind
from .http import Frame, Head
from .model import Reply

_GONE: Final = Frame(abort=True)
_DATA: Final = b"data: "
_HTML: Final = b"""<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
<hr><center>nginx</center>
</body>
</html>
"""


@final
@dataclass(frozen=True, slots=True)
class Spot:
    """Where in its answer a frame stands.

    `index` counts the parts of a stream from its opening, 0. `whole` says that the answer
    is one part. `hit` is the part after which, in a stream, the fault strikes. `error` is
    the dialect's own error, as an event of a stream or as a body.
    """

    index: int
    whole: bool
    hit: int
    error: bytes


def spoiled(frame: Frame, reply: Reply, fault: Fault, error: bytes) -> Frame:
    """The frame as a fault leaves it.

    Args:
        frame: the frame as it should be.
        reply: the part of the answer it carries.
        fault: what goes wrong.
        error: the dialect's error event, or its error body if the answer is one part.
    """
    tokens = reply.count - 2
    spot = Spot(reply.index, reply.count == 1, min(fault.after_chunks, tokens), error)
    change = _CHANGES.get(fault.kind)
    return frame if change is None else change(frame, spot)


def _cut(frame: Frame, spot: Spot) -> Frame:
    """Half a body, or the first chunks of a stream, and then a broken connection."""
    if spot.whole:
        head = frame.head and replace(frame.head, length=len(frame.data))
        return Frame(head=head, data=frame.data[: len(frame.data) // 2], abort=True)
    if spot.index > spot.hit:
        return _GONE
    return replace(frame, end=False, abort=spot.index == spot.hit)


def _malformed(frame: Frame, spot: Spot) -> Frame:
    """A chunk, or a body, that ends in the middle of its JSON."""
    if spot.whole:
        return replace(frame, data=frame.data[: len(frame.data) // 2])
    return replace(frame, data=_torn(frame.data)) if spot.index == spot.hit + 1 else frame


def _torn(event: bytes) -> bytes:
    """The first event of some, or a line of JSON, with half of its JSON."""
    first, end, _ = event.partition(b"\n\n" if _DATA in event else b"\n")
    start = first.index(_DATA) + len(_DATA) if _DATA in first else 0
    return first[: start + (len(first) - start) // 2] + end


def _error(frame: Frame, spot: Spot) -> Frame:
    """The provider's own error in an answer that began with 200, and nothing after it."""
    if spot.whole:
        return replace(frame, data=spot.error)
    if spot.index <= spot.hit:
        return frame
    return replace(frame, data=spot.error if spot.index == spot.hit + 1 else b"")


def _reset(_frame: Frame, _spot: Spot) -> Frame:
    """A broken connection without an answer."""
    return _GONE


def _empty(frame: Frame, _spot: Spot) -> Frame:
    """A head and no body."""
    return replace(frame, data=b"")


def _html(frame: Frame, spot: Spot) -> Frame:
    """A gateway's error page."""
    return replace(frame, head=_html_head(frame.head), data=b"" if spot.index else _HTML)


def _html_head(head: Head | None) -> Head | None:
    if head is None:
        return None
    date = tuple(pair for pair in head.headers if pair[0] == "date")
    return Head(502, (("content-type", "text/html"), *date))


_CHANGES: Final[dict[FaultKind, Callable[[Frame, Spot], Frame]]] = {
    "cut-mid-stream": _cut,
    "malformed-chunk": _malformed,
    "error-in-stream": _error,
    "reset": _reset,
    "empty-body": _empty,
    "html-body": _html,
}
