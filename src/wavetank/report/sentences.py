"""What happened in a run, in ten plain sentences.

The first says when trouble began, the second who waited, the third where it went wrong; then comes
the rest. A report of a failure begins with these three.
"""

from __future__ import annotations

from typing import Final

from ..events import EventLog
from . import beginning, circumstances
from .sentence import Sentence

FIRST: Final = 3
"""So many sentences stand at the beginning of a failure report."""

_MOST: Final = 10
_LONGEST: Final = 400
"""Characters of a sentence: a verdict or an error in it may be long, and is written out elsewhere."""

_PARTS: Final = (
    beginning.trouble,
    beginning.waiting,
    beginning.wrong,
    circumstances.others,
    circumstances.totals,
    circumstances.waves,
    circumstances.refusals,
    circumstances.order,
    circumstances.stalls,
    circumstances.unfinished,
    circumstances.hidden_causes,
)


def explained(log: EventLog) -> tuple[Sentence, ...]:
    """At most ten sentences on what happened."""
    return log.derived(_explained)


def numbered(log: EventLog) -> list[str]:
    """The sentences as lines with their numbers; a failure report begins with the `FIRST` of them."""
    return [f"{number}. {each.text}" for number, each in enumerate(explained(log), start=1)]


def _explained(log: EventLog) -> tuple[Sentence, ...]:
    found = [each for part in _PARTS for each in part(log)]
    return tuple(_shortened(each) for each in found[:_MOST])


def _shortened(sentence: Sentence) -> Sentence:
    if len(sentence.text) <= _LONGEST:
        return sentence
    return Sentence(f"{sentence.text[:_LONGEST].rstrip()}…", sentence.at, sentence.request)
