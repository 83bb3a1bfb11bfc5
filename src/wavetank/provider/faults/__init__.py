"""What a fault does to an answer: one file for each kind, and here which is which.

A fault changes the bytes of an answer, or when they are sent, or whether the client can connect.
"""

from __future__ import annotations

from typing import Final

from ...scenario import Fault, FaultKind
from ..http import Frame
from ..model import Reply
from . import (
    connection_refused,
    cut_mid_stream,
    duplicate_event,
    empty_body,
    error_in_stream,
    html_body,
    length_too_long,
    length_too_short,
    malformed_chunk,
    missing_end,
    reset,
    reset_after_headers,
    slow_trickle,
    stall,
    stall_before_headers,
    truncated_json,
)
from .mishap import Damage, Mishap, Spot

MISHAPS: Final[dict[FaultKind, Mishap]] = {
    "connection-refused": connection_refused.MISHAP,
    "reset": reset.MISHAP,
    "reset-after-headers": reset_after_headers.MISHAP,
    "cut-mid-stream": cut_mid_stream.MISHAP,
    "stall-before-headers": stall_before_headers.MISHAP,
    "stall": stall.MISHAP,
    "slow-trickle": slow_trickle.MISHAP,
    "malformed-chunk": malformed_chunk.MISHAP,
    "truncated-json": truncated_json.MISHAP,
    "missing-end": missing_end.MISHAP,
    "duplicate-event": duplicate_event.MISHAP,
    "error-in-stream": error_in_stream.MISHAP,
    "length-too-long": length_too_long.MISHAP,
    "length-too-short": length_too_short.MISHAP,
    "empty-body": empty_body.MISHAP,
    "html-body": html_body.MISHAP,
}
"""Every kind of fault."""

__all__ = ["MISHAPS", "Damage", "Mishap", "Spot", "damage", "delay", "spoiled"]


def spoiled(frame: Frame, reply: Reply, fault: Fault, error: bytes) -> Frame:
    """The frame as a fault leaves it.

    Args:
        frame: the frame as it should be.
        reply: the part of the answer it carries.
        fault: what goes wrong.
        error: the dialect's error event, or its error body if the answer is one part.
    """
    change = MISHAPS[fault.kind].change
    return frame if change is None else change(frame, _spot(fault, reply.index, reply.count, error))


def delay(fault: Fault, index: int, count: int) -> int:
    """How many nanoseconds later than usual a fault lets part `index` of `count` be sent."""
    later = MISHAPS[fault.kind].delay
    return 0 if later is None else later(fault, _spot(fault, index, count))


def damage(fault: Fault) -> Damage:
    """What becomes of the answer."""
    return MISHAPS[fault.kind].damage


def _spot(fault: Fault, index: int, count: int, error: bytes = b"") -> Spot:
    tokens = max(0, count - 2)
    return Spot(index, count, min(fault.after_chunks, tokens), error)
