"""`cut-mid-stream`: the connection breaks in the middle of the answer."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame
from .mishap import GONE, Mishap, Spot, halved


def _change(frame: Frame, spot: Spot) -> Frame:
    if spot.whole:
        head = frame.head and replace(frame.head, length=len(frame.data))
        return replace(halved(frame), head=head, end=False, abort=True)
    if spot.index > spot.hit:
        return GONE
    return replace(frame, end=False, abort=spot.index == spot.hit)


MISHAP: Final = Mishap(damage="lost", change=_change)
"""The client gets the first chunks of a stream, or half of a body, and then the connection ends."""
