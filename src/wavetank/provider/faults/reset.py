"""`reset`: the connection breaks before the answer."""

from __future__ import annotations

from typing import Final

from ..http import Frame
from .mishap import GONE, Mishap, Spot


def _change(_frame: Frame, _spot: Spot) -> Frame:
    return GONE


MISHAP: Final = Mishap(damage="lost", change=_change)
"""The client has sent its request and sees the connection break without a byte of an answer.

Whether the request was worked on it cannot know.
"""
