"""What a run repeats without progress, taken from the requests after its last outcome."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from ..clock import format_duration
from ..events import Event, EventKind, EventLog

_OUTCOMES: Final[tuple[EventKind, ...]] = ("completed", "failed", "cancelled")
_LONGEST_CYCLE: Final = 6
_LOOKED_AT: Final = 60
_AT_LEAST: Final = 3
_SHOWN: Final = 5
_NO_ANSWER: Final = "got no answer"


def repetition(log: EventLog) -> tuple[str, ...]:
    """A line for each item that asked again and again: what the answer was, how often and how fast."""
    found: dict[str, list[str]] = {}
    for item, requests in _requests(log).items():
        if len(requests) >= _AT_LEAST:
            found.setdefault(_answers(requests), []).append(item)
    lines = [f"{_named(items)} {answer}" for answer, items in found.items()]
    more = (f"… {len(lines) - _SHOWN} more such patterns",) if len(lines) > _SHOWN else ()
    return (*lines[:_SHOWN], *more)


def _requests(log: EventLog) -> dict[str, list[tuple[int, str]]]:
    """By item, in order: when each request after the last outcome was sent, and what came of it."""
    last_outcome = max((number for number, event in enumerate(log) if event.kind in _OUTCOMES), default=-1)
    fate = {event.request: _fate(event) for event in log.of("refused", "answered", "left")}
    found: dict[str, list[tuple[int, str]]] = {}
    for number, event in enumerate(log):
        if number > last_outcome and event.kind == "arrived" and event.item is not None:
            sent = event.at if event.sent is None else event.sent
            found.setdefault(event.item, []).append((sent, fate.get(event.request, _NO_ANSWER)))
    return found


def _fate(event: Event) -> str:
    if event.kind == "refused":
        return f"met a refusal with {event.status}"
    if event.kind == "left":
        return "hung up"
    return "got an answer" if event.fault is None else "got a spoiled answer"


def _answers(requests: Sequence[tuple[int, str]]) -> str:
    """`met a refusal with 429 and asked again, every 1s, 37 times`."""
    fates = [fate for _, fate in requests if fate != _NO_ANSWER] or [_NO_ANSWER]
    cycle = _cycle(fates[-_LOOKED_AT:])
    gaps = [after - before for (before, _), (after, _) in pairwise(requests)]
    gaps = gaps[-_LOOKED_AT:]
    pace = f"every {format_duration(min(gaps))}" + (
        "" if len(set(gaps)) == 1 else f" to {format_duration(max(gaps))}"
    )
    return f"{', then '.join(cycle)} and asked again, {pace}, {len(requests)} times"


def _cycle(fates: Sequence[str]) -> Sequence[str]:
    """The shortest stretch whose repetition gives the end of the sequence, else its last parts."""
    for length in range(1, _LONGEST_CYCLE + 1):
        if all(one == fates[-1 - (place % length)] for place, one in enumerate(reversed(fates))):
            return fates[-length:]
    return ["…", *fates[-_LONGEST_CYCLE:]]


def _named(items: Sequence[str]) -> str:
    if len(items) == 1:
        return f"item {items[0]!r}"
    shown = ", ".join(map(repr, items[:_SHOWN])) + (", …" if len(items) > _SHOWN else "")
    return f"{len(items)} items ({shown}), each"
