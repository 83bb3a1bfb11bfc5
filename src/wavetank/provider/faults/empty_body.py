"""`empty-body`: a head and nothing else."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from ..http import Frame
from .mishap import Mishap, Spot


def _change(frame: Frame, _spot: Spot) -> Frame:
    return replace(frame, data=b"")


MISHAP: Final = Mishap(damage="unreadable", change=_change)
"""The client gets status 200 and no body; a stream without a single event."""
