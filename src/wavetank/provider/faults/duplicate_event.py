"""`duplicate-event`: one event comes twice."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame
from .mishap import Mishap, Spot, first_event


def _change(frame: Frame, spot: Spot) -> Frame:
    if spot.whole:
        return replace(frame, data=frame.data * 2)
    if spot.index != spot.hit + 1:
        return frame
    return replace(frame, data=b"".join(first_event(frame.data)) + frame.data)


MISHAP: Final = Mishap(damage="unreadable", change=_change, keeps_text=True)
"""The client gets one event of a stream twice, so that a piece of the text, or the end, is doubled.

The body of an answer that is not streamed comes twice in one response. No client can tell a piece
that comes twice from one that the model has said twice.
"""
