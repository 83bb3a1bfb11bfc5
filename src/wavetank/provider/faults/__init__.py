"""What a fault does to an answer: one file for each kind, and here which is which.

A fault changes the bytes of an answer, or when they are sent, or whether the client can connect.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

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
    mishap = MISHAPS[fault.kind]
    if mishap.change is None:
        return frame
    changed = mishap.change(frame, _spot(fault, reply.index, reply.count, error))
    if frame.whole_at is None:
        return changed
    return replace(changed, whole_at=_still_whole_at(frame, changed) if mishap.keeps_text else None)


def _still_whole_at(frame: Frame, changed: Frame) -> int | None:
    """Where a client has the whole answer in a frame that a fault has changed; `None`: nowhere."""
    if changed.data.startswith(frame.data[: frame.whole_at]):
        return frame.whole_at
    return len(changed.data) if changed.data.endswith(frame.data) else None


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
