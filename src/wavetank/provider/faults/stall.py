"""`stall`: silence between two chunks."""

from __future__ import annotations

from typing import Final

from ...scenario import Fault
from .mishap import Mishap, Spot


def _delay(fault: Fault, spot: Spot) -> int:
    return int(fault.lasts) if spot.whole or spot.index > spot.hit else 0


MISHAP: Final = Mishap(damage="none", delay=_delay)
"""The client gets the first chunks of a stream, nothing for a long while, and then the rest.

An answer that is not streamed comes late as a whole.
"""
