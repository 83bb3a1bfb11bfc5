"""`reset-after-headers`: the connection breaks between the headers and the body."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame
from .mishap import GONE, Mishap, Spot


def _change(frame: Frame, spot: Spot) -> Frame:
    if frame.head is None:
        return GONE
    head = replace(frame.head, length=len(frame.data)) if spot.whole else frame.head
    return Frame(head=head, abort=True)


MISHAP: Final = Mishap(damage="lost", change=_change)
"""The client sees status 200 and all headers, and the connection ends without a byte of the body."""
