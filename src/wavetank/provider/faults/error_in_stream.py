"""`error-in-stream`: an error after the answer has begun with status 200."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame
from .mishap import Mishap, Spot


def _change(frame: Frame, spot: Spot) -> Frame:
    if spot.whole:
        return replace(frame, data=spot.error)
    if spot.index <= spot.hit:
        return frame
    return replace(frame, data=spot.error if spot.index == spot.hit + 1 else b"")


MISHAP: Final = Mishap(damage="error", change=_change)
"""The client gets the first chunks of a stream, the provider's own error event, and nothing after it.

An answer that is not streamed is an error body with status 200.
"""
