"""`truncated-json`: the answer stops in the middle of its JSON, and that is its end."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame
from .mishap import Mishap, Spot, halved, torn


def _change(frame: Frame, spot: Spot) -> Frame:
    if spot.whole:
        return halved(frame)
    if spot.index <= spot.hit:
        return frame
    return replace(frame, data=torn(frame.data)[0] if spot.index == spot.hit + 1 else b"")


MISHAP: Final = Mishap(damage="unreadable", change=_change)
"""The client gets half a chunk, or half a body, and then the proper end of the response.

Nothing in HTTP says that something is missing.
"""
