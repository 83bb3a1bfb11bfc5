"""What happened in a run, in ten plain sentences.

The first says when trouble began, the second who waited, the third where it went wrong; then comes
the rest. A report of a failure begins with these three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from typing import Final

from ..events import EventLog
from . import beginning, circumstances
from .sentence import Sentence, rounded
from .verdicts import how_it_ended

FIRST: Final = 3
"""So many sentences stand at the beginning of a failure report."""

_MOST: Final = 10
_LONGEST: Final = 400
"""Characters of a sentence: a verdict or an error in it may be long, and is written out elsewhere."""

_REST: Final = (
    circumstances.others,
    circumstances.made_and_set,
    circumstances.left_unread,
    circumstances.still_open,
    circumstances.totals,
    circumstances.waves,
    circumstances.refusals,
    circumstances.order,
    circumstances.stalls,
    circumstances.unfinished,
    circumstances.hidden_causes,
)


def explained(log: EventLog, passing: EventLog | None = None) -> tuple[Sentence, ...]:
    """At most ten sentences on what happened; `passing` is the log of the nearest run that passes."""
    first = [*beginning.trouble(log), *beginning.waiting(log, passing), *beginning.wrong(log)]
    first.sort(key=lambda each: each.beside)
    found = tuple(dict.fromkeys((*first, *(each for part in _REST for each in part(log)))))
    return tuple(_shortened(each) for each in found[:_MOST])


def where_it_went_wrong(log: EventLog) -> int | None:
    """The instant that the sentence on that names, of a run that failed."""
    return None if how_it_ended(log) == "passed" else next((each.at for each in beginning.wrong(log)), None)


def numbered(log: EventLog, passing: EventLog | None = None) -> list[str]:
    """The sentences as lines with their numbers; a failure report begins with the `FIRST` of them.

    What is beside the story has no number. Times are rounded for reading; the events and the page have them
    to the nanosecond.
    """
    number = count(1)
    return [
        rounded(each.text if each.beside else f"{next(number)}. {each.text}")
        for each in explained(log, passing)
    ]


def passing_of(logs: Sequence[EventLog]) -> EventLog | None:
    """Of a run that failed and one that passes: the latter."""
    if len(logs) != 2 or how_it_ended(logs[0]) == "passed" or how_it_ended(logs[1]) != "passed":
        return None
    return logs[1]


def _shortened(sentence: Sentence) -> Sentence:
    if len(sentence.text) <= _LONGEST:
        return sentence
    return replace(sentence, text=f"{sentence.text[:_LONGEST].rstrip()}…")
