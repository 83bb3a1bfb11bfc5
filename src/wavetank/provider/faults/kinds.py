"""The effect of every kind of fault: those of wavetank, and those that installed packages add."""

from __future__ import annotations

from typing import Final, cast

from ...fault_kinds import ADDED
from ...scenario import FaultKind
from .body import BODY_FAULTS
from .connection import CONNECTION_FAULTS
from .effect import FaultEffect
from .stream import STREAM_FAULTS
from .timing import TIMING_FAULTS

FAULTS: Final[dict[FaultKind, FaultEffect]] = {
    **CONNECTION_FAULTS,
    **TIMING_FAULTS,
    **BODY_FAULTS,
    **STREAM_FAULTS,
}
"""The effect of every kind of wavetank's own."""


def effect_of(kind: str) -> FaultEffect:
    """The effect of a kind of fault.

    Raises:
        ExtensionError: it is of an installed package, and cannot be used.
    """
    effect = FAULTS.get(cast(FaultKind, kind))
    return effect or cast(FaultEffect, ADDED.load(kind, _is_effect, "a wavetank.extending.FaultEffect"))


def _is_effect(value: object) -> bool:
    return isinstance(value, FaultEffect)
