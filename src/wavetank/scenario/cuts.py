"""What a search does with the waves and faults of a scenario, to show what a failure needs of them.

A number says it of all of them: two bits each, waves first.
"""

from __future__ import annotations

import math
from typing import Final, TypeVar

import msgspec

from .model import Fault, Scenario, Wave

_Part = TypeVar("_Part", Wave, Fault)

AS_WRITTEN: Final = 0
LEFT_OUT: Final = 1
SPARES: Final = 2
"""A wave or fault with a share spares all requests but those that the schedule names."""

MEETS: Final = 3
"""It meets all but those."""

_BITS: Final = 2
_SHARES: Final = {LEFT_OUT: 0.0, SPARES: math.nextafter(0, 1), MEETS: math.nextafter(1, 0)}
"""Where a share is neither 0 nor 1 a search may choose otherwise for each request."""


def treatment(cut: int, number: int) -> int:
    """What `cut` does with a wave or fault: the faults are numbered behind the waves, from 0."""
    return cut >> _BITS * number & MEETS


def treated(cut: int, number: int, how: int) -> int:
    """`cut` with another treatment of one wave or fault."""
    return cut & ~(MEETS << _BITS * number) | how << _BITS * number


def cut_down(scenario: Scenario, cut: int) -> Scenario:
    """The scenario with its waves and faults treated so.

    They keep their places, so that the picks of the others stay as they are.
    """
    if not cut:
        return scenario
    waves = len(scenario.wave)
    return msgspec.structs.replace(
        scenario,
        wave=tuple(_cut(each, treatment(cut, number)) for number, each in enumerate(scenario.wave)),
        fault=tuple(
            _cut(each, treatment(cut, number)) for number, each in enumerate(scenario.fault, start=waves)
        ),
    )


def _cut(part: _Part, how: int) -> _Part:
    return msgspec.structs.replace(part, share=_SHARES[how]) if how else part
