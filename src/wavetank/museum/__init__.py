"""The museum: real rate-limit bugs, each a small processor in our own words, with its correct twin."""

from __future__ import annotations

from typing import Final

from . import (
    early_reset,
    full_queue,
    generation_misread,
    lost_wakeup,
    retry_state_lost,
    sentinel_overtakes,
)
from .specimen import KINDS, Kind, Specimen

__all__ = ["KINDS", "SPECIMENS", "Kind", "Specimen"]

_ROOMS: Final = (
    sentinel_overtakes,
    retry_state_lost,
    full_queue,
    lost_wakeup,
    early_reset,
    generation_misread,
)

SPECIMENS: Final[dict[str, Specimen]] = {room.SPECIMEN.name: room.SPECIMEN for room in _ROOMS}
"""All specimens by name, in the order of their rows."""
