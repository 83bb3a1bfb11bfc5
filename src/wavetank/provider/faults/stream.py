"""Faults of a stream: a cut, a chunk that is no JSON, an event twice, an error event, no end.

Each says what becomes of an answer that is not streamed, too.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ...scenario import FaultKind
from ..event_stream import is_event_stream, last_message
from ..http import Frame
from .effect import BROKEN, FaultEffect, Position, first_event, first_half, half_event


def _cut_mid_stream(frame: Frame, position: Position) -> Frame:
    """The client gets the first chunks of a stream, or half of a body, and then the connection breaks."""
    if position.whole:
        head = frame.head and replace(frame.head, length=len(frame.data))
        return replace(first_half(frame), head=head, end=False, abort=True)
    if position.index > position.last_good:
        return BROKEN
    return replace(frame, end=False, abort=position.index == position.last_good)


def _malformed_chunk(frame: Frame, position: Position) -> Frame:
    """The client gets one chunk that ends in the middle of its JSON, and good ones after it.

    The body of an answer that is not streamed ends in the middle of its JSON.
    """
    if position.whole:
        return first_half(frame)
    return replace(frame, data=b"".join(half_event(frame.data))) if position.first_bad else frame


def _missing_end(frame: Frame, position: Position) -> Frame:
    """The client gets all chunks but the last event (`[DONE]`, `message_stop`), and a clean end.

    Some SDKs take such an answer for complete. The body of an answer that is not streamed lacks its
    last brace.
    """
    if position.whole:
        return replace(frame, data=frame.data.rstrip()[:-1])
    return replace(frame, data=_without_last_event(frame.data)) if position.last else frame


def _without_last_event(data: bytes) -> bytes:
    if is_event_stream(data):
        return data.removesuffix(last_message(data))
    _, gap = first_event(data)
    if not gap:
        return b""
    rest, found, _ = data.removesuffix(gap).rpartition(gap)
    return rest + found


def _duplicate_event(frame: Frame, position: Position) -> Frame:
    """The client gets one event of a stream twice, so that a piece of the text, or the end, is doubled.

    The body of an answer that is not streamed comes twice in one response. No client can distinguish
    a piece that is sent twice from one that the model has written twice.
    """
    if position.whole:
        return replace(frame, data=frame.data * 2)
    if not position.first_bad:
        return frame
    return replace(frame, data=b"".join(first_event(frame.data)) + frame.data)


def _error_in_stream(frame: Frame, position: Position) -> Frame:
    """The client gets the first chunks of a stream, the provider's own error event, and nothing after it.

    An answer that is not streamed is an error body with status 200.
    """
    if position.whole:
        return replace(frame, data=position.error)
    if position.index <= position.last_good:
        return frame
    return replace(frame, data=position.error if position.first_bad else b"")


STREAM_FAULTS: Final[dict[FaultKind, FaultEffect]] = {
    "cut-mid-stream": FaultEffect(damage="lost", change=_cut_mid_stream),
    "malformed-chunk": FaultEffect(damage="unreadable", change=_malformed_chunk),
    "missing-end": FaultEffect(damage="unreadable", change=_missing_end, keeps_text=True),
    "duplicate-event": FaultEffect(damage="unreadable", change=_duplicate_event, keeps_text=True),
    "error-in-stream": FaultEffect(damage="error", change=_error_in_stream),
}
"""The effects by kind."""
