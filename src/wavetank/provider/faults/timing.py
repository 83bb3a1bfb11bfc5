"""Faults of timing: the answer is right and late."""

from __future__ import annotations

from typing import Final

from ...scenario import Fault, FaultKind, fault_delay
from .effect import FaultEffect, Position


def _stall_before_headers(fault: Fault, _position: Position) -> int:
    """The client gets nothing, not even a status, for a long time; then the answer at its usual pace."""
    return fault_delay(fault)


def _stall(fault: Fault, position: Position) -> int:
    """The client gets the first chunks of a stream, nothing for a long time, and then the rest.

    An answer that is not streamed is late as a whole.
    """
    return fault_delay(fault) if position.whole or position.index > position.last_good else 0


def _slow_trickle(fault: Fault, position: Position) -> int:
    """The parts are spread evenly over a long time.

    No single read waits long enough for a read timeout; only a timeout of the whole request ends it.
    """
    return fault_delay(fault) * (position.index + 1) // position.count


TIMING_FAULTS: Final[dict[FaultKind, FaultEffect]] = {
    "stall-before-headers": FaultEffect(damage="none", delay=_stall_before_headers),
    "stall": FaultEffect(damage="none", delay=_stall),
    "slow-trickle": FaultEffect(damage="none", delay=_slow_trickle),
}
"""The effects by kind."""
