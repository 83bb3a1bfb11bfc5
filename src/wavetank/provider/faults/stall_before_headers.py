"""`stall-before-headers`: silence where the answer should begin."""

from __future__ import annotations

from typing import Final

from ...scenario import Fault
from .mishap import Mishap, Spot


def _delay(fault: Fault, _spot: Spot) -> int:
    return int(fault.lasts)


MISHAP: Final = Mishap(damage="none", delay=_delay)
"""The client sees nothing, not even a status, for a long while; then the answer at its usual pace."""
