"""What a fault does to an answer.

A fault changes the bytes of an answer, or when they are sent, or whether the client can connect.
`selection` decides which answers and connections meet one.
"""

from __future__ import annotations

from msgspec.structs import replace

from ...scenario import Fault
from ..http import Frame
from ..model import Reply
from .effect import Damage, FaultEffect, Position
from .kinds import FAULTS, effect_of

__all__ = [
    "FAULTS",
    "Damage",
    "FaultEffect",
    "Position",
    "apply_fault",
    "damage_of",
    "delay_of",
    "effect_of",
]


def apply_fault(fault: Fault, frame: Frame, reply: Reply, error: bytes) -> Frame:
    """The frame that is sent in place of the right one.

    Args:
        fault: what goes wrong.
        frame: the frame as it should be.
        reply: the part of the answer it carries.
        error: the dialect's error event, or its error body if the answer is one part.
    """
    effect = effect_of(fault.kind)
    if effect.change is None:
        return frame
    changed = effect.change(frame, _position(fault, reply.index, reply.count, error))
    if frame.whole_at is None:
        return changed
    return replace(changed, whole_at=_still_whole_at(frame, changed) if effect.keeps_text else None)


def _still_whole_at(frame: Frame, changed: Frame) -> int | None:
    """Where a client has the whole answer in a frame that a fault has changed; `None`: nowhere."""
    if changed.data.startswith(frame.data[: frame.whole_at]):
        return frame.whole_at
    return len(changed.data) if changed.data.endswith(frame.data) else None


def delay_of(fault: Fault, index: int, count: int) -> int:
    """How many nanoseconds later than usual part `index` of `count` is sent."""
    delay = effect_of(fault.kind).delay
    return 0 if delay is None else delay(fault, _position(fault, index, count))


def damage_of(fault: Fault) -> Damage:
    """What a client without HTTP gets in place of the answer."""
    return effect_of(fault.kind).damage


def _position(fault: Fault, index: int, count: int, error: bytes = b"") -> Position:
    tokens = max(0, count - 2)
    return Position(index, count, min(fault.after_chunks, tokens), error)
