"""`length-too-short`: the headers announce less than there is."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame
from .mishap import GONE, Mishap, Spot, halved


def _change(frame: Frame, spot: Spot) -> Frame:
    if spot.index:
        return GONE
    short = halved(frame)
    head = frame.head and replace(frame.head, length=len(short.data))
    return replace(short, head=head, end=False, abort=True)


MISHAP: Final = Mishap(damage="unreadable", change=_change)
"""The client gets half of a body, or half of a stream's first event, as if that were all.

The connection ends then: what is left over would be taken for the beginning of the next answer.
"""
