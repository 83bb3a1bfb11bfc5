"""`length-too-long`: the headers announce more than there is."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame
from .mishap import Mishap, Spot

# More than any answer of the fake has.
_MORE: Final = 1 << 20


def _change(frame: Frame, spot: Spot) -> Frame:
    head = frame.head and replace(frame.head, length=len(frame.data) + _MORE)
    return replace(frame, head=head, end=False, abort=spot.last)


MISHAP: Final = Mishap(damage="lost", change=_change, keeps_text=True)
"""The client gets the whole answer and waits for more, until the connection ends."""
