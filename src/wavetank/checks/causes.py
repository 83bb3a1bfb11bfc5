"""What may be behind a failure although no check judges it: said beside the first check that failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..clock import format_duration
from ..events import ENDED, EventLog, Unseen, Wait
from ..text import times
from .history import unmatched

_SHOWN: Final = 5
_LONGEST: Final = 200
"""So many characters of an error are shown."""


def causes(log: EventLog) -> tuple[str, ...]:
    """Errors that nothing received, a ledger that no request matches, and who waited in quiet stretches."""
    warning = unmatched(log)
    return (*_unseen(log), *((warning,) if warning else ()), *_quiet(log))


def _unseen(log: EventLog) -> Iterator[str]:
    found: dict[tuple[str, str], list[Unseen]] = {}
    for each in log.end.unseen if log.end is not None else ():
        kind = each.error.partition(":")[0]
        found.setdefault((kind, place(each.file, each.line)), []).append(each)
    for (_, where), many in list(found.items())[:_SHOWN]:
        error = many[0].error if len(many[0].error) <= _LONGEST else f"{many[0].error[:_LONGEST]}…"
        names = [*dict.fromkeys(repr(each.task) for each in many)]
        ended = "each ended" if len(names) > 1 else "ended" if len(many) == 1 else f"ended {times(len(many))}"
        yield f"{listed(names)} {ended} with an error that nothing received, at {_span(many)}: {error}{where}"
    if len(found) > _SHOWN:
        yield f"and {len(found) - _SHOWN} more errors that nothing received"


def _quiet(log: EventLog) -> Iterator[str]:
    """The longest stretches between two events, but for the one in which a run was stopped."""
    end = log.end
    if end is None:
        return
    stopped = end.how not in ENDED
    stretches: dict[tuple[int, int], list[Wait]] = {}
    for wait in end.waits:
        if not (stopped and wait.until >= end.at):
            stretches.setdefault((wait.since, wait.until), []).append(wait)
    for (since, until), waits in stretches.items():
        yield f"nothing happened from {format_duration(since)} to {format_duration(until)}:"
        for wait in waits[:_SHOWN]:
            what = wait.what if len(wait.tasks) == 1 else wait.what.replace("waits ", "wait ", 1)
            yield f"  {listed([repr(task) for task in wait.tasks])}{place(wait.file, wait.line)} {what}"
        if len(waits) > _SHOWN:
            yield f"  and {len(waits) - _SHOWN} more"


def _span(many: list[Unseen]) -> str:
    first, last = format_duration(many[0].at), format_duration(many[-1].at)
    return first if first == last else f"{first} to {last}"


def place(file: str | None, line: int | None) -> str:
    """` (app/jobs.py:12)`, or nothing."""
    return "" if file is None else f" ({file}:{line})"


def listed(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
