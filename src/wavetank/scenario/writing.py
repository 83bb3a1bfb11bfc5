"""From a scenario back to plain values: the table it could have been read from, and its digest."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

import msgspec

from ..clock import Duration
from .answer_files import AnswerFile, UsageFile
from .model import DurationRange, Scenario, TokenRange
from .reading import given

_TEXTS: Final = ("name", "title", "story")
_KEPT: Final = 256
"""Digests that are remembered: a search asks for that of the same scenario in every run."""


def written(scenario: Scenario) -> dict[str, object]:
    """What a scenario says beyond the defaults, as `scenario_from_dict` reads it; its name is left out."""
    return {key: _plain(value) for key, value in given(scenario).items() if key != "name"}


def _plain(value: object) -> object:
    match value:
        case AnswerFile() | UsageFile():
            return value.path
        case TokenRange(low=low, high=high):
            return low if low == high else f"{low}..{high}"
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


@lru_cache(maxsize=_KEPT)
def digest(scenario: Scenario) -> str:
    """Eight hex digits of what a scenario does, the same in every process.

    Its texts do not count, nor what it says by default; of a file what it says counts, not its path.
    """
    content = {name: value for name, value in written(scenario).items() if name not in _TEXTS}
    answers = scenario.answers
    files = {name: file.digest for name, file in (("file", answers.file), ("usage", answers.usage)) if file}
    if files:
        content["answers"] = {**{key: _plain(value) for key, value in given(answers).items()}, **files}
    canonical = msgspec.json.encode(content, order="deterministic")
    return hashlib.blake2b(canonical, digest_size=4).hexdigest()
