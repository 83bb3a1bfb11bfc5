"""From a scenario back to the table of plain values it could have been read from."""

from __future__ import annotations

import msgspec

from ..clock import Duration
from .model import DurationRange, Scenario
from .reading import given


def written(scenario: Scenario) -> dict[str, object]:
    """What a scenario says beyond the defaults, as `scenario_from_dict` reads it; its name is left out."""
    return {key: _plain(value) for key, value in given(scenario).items() if key != "name"}


def _plain(value: object) -> object:
    match value:
        case Duration():
            return str(value)
        case DurationRange(low=low, high=high):
            ends = dict.fromkeys((str(Duration(low)), str(Duration(high))))
            return "..".join(ends)
        case msgspec.Struct():
            return {key: _plain(part) for key, part in given(value).items()}
        case tuple():
            return [_plain(part) for part in value]
    return value
