"""`malformed-chunk`: one chunk that is no JSON."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame
from .mishap import Mishap, Spot, halved, torn


def _change(frame: Frame, spot: Spot) -> Frame:
    if spot.whole:
        return halved(frame)
    return replace(frame, data=b"".join(torn(frame.data))) if spot.index == spot.hit + 1 else frame


MISHAP: Final = Mishap(damage="unreadable", change=_change)
"""The client gets one chunk that ends in the middle of its JSON, and good ones after it.

The body of an answer that is not streamed ends in the middle of its JSON.
"""
