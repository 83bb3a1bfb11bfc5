"""`slow-trickle`: the answer comes, drop by drop."""

from __future__ import annotations

from typing import Final

from ...scenario import Fault
from .mishap import Mishap, Spot


def _delay(fault: Fault, spot: Spot) -> int:
    return fault.lasts * (spot.index + 1) // spot.count


MISHAP: Final = Mishap(damage="none", delay=_delay)
"""The client gets the usual pieces, spread evenly over a long time.

No single read waits long enough for a read timeout; only a limit on the whole would end it.
"""
