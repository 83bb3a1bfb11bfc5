"""`missing-end`: the stream ends without saying so."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame
from .mishap import Mishap, Spot, first_event


def _change(frame: Frame, spot: Spot) -> Frame:
    if spot.whole:
        return replace(frame, data=frame.data.rstrip()[:-1])
    return replace(frame, data=_without_last_event(frame.data)) if spot.last else frame


def _without_last_event(data: bytes) -> bytes:
    _, gap = first_event(data)
    if not gap:
        return b""
    rest, found, _ = data.removesuffix(gap).rpartition(gap)
    return rest + found


MISHAP: Final = Mishap(damage="unreadable", change=_change, keeps_text=True)
"""The client gets all chunks of a stream but the last event (`[DONE]`, `message_stop`), and a clean end.

Some SDKs take such an answer for whole. The body of an answer that is not streamed lacks its last
brace.
"""
