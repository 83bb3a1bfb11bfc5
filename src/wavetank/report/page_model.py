"""What the page is given of a run: plain values, small enough to stand in the page itself.

Names of items, tasks and places are written once, and referred to by their number.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, Final, TypeVar, final

from ..checks.causes import place
from ..checks.traced import traced
from ..clock import format_duration
from ..events import EVENT_KINDS, EventLog
from ..text import counted
from .blocked import blocked
from .finding import accused
from .interleaving import interleaving
from .requests import Request, place_of, requests, rows_of, words
from .sentence import rounded
from .sentences import explained, where_it_went_wrong
from .spans import bands, counts, last_instant
from .verdicts import how_it_ended, verdicts
from .waited_for import waited_for

K = TypeVar("K", bound=Hashable)

OUTCOMES: Final = ("answered", "refused", "spoiled", "left", "open")

_NO_LANE: Final = "(not known)"
"""The lane of requests from another process, of which the task is not known."""


@final
class _Names:
    """Texts that are written once; each has the number of its first appearance."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def number(self, text: str | None) -> int | None:
        """The number of a text; `None` of none."""
        return None if text is None else self._numbers.setdefault(text, len(self._numbers))

    def all(self) -> list[str]:
        """The texts in the order of their numbers."""
        return list(self._numbers)


@final
class _Tables:
    """The names of a run: of items, tasks and places in the program."""

    def __init__(self) -> None:
        self.items, self.tasks, self.places = _Names(), _Names(), _Names()


def page_model(log: EventLog, passing: EventLog | None = None) -> dict[str, Any]:
    """A run as plain values; instants are in nanoseconds since its start.

    `passing` is the log of the nearest run that passes.
    """
    names = _Tables()
    values = {
        **_heading(log, passing),
        "last": last_instant(log),
        "ended": log.end is not None,
        "interleaving": [*interleaving(log, passing)],
        "accused": [names.items.number(item) for item in accused(log, verdicts(log))],
        "decisive": where_it_went_wrong(log),
        "kinds": EVENT_KINDS,
        "events": _events(log, names),
        "requests": _bars(log, names),
        **_tasks(log, names),
        "bands": [
            {
                "name": band.name,
                "kind": band.kind,
                "spans": [[span.begin, span.end, span.text, span.parts] for span in band.spans],
            }
            for band in bands(log)
        ],
        "counts": [
            {"name": each.name, "points": each.points, "refills": each.refills} for each in counts(log)
        ],
        "pins": [
            [each.at, each.step, names.tasks.number(each.task), each.kind, each.text, each.fifo]
            for each in (log.notes.deviations if log.notes is not None else ())
        ],
    }
    tables = {"tasks": names.tasks.all(), "items": names.items.all(), "places": names.places.all()}
    return {**values, **tables}


def _events(log: EventLog, names: _Tables) -> list[list[Any]]:
    return [
        [
            event.at,
            EVENT_KINDS.index(event.kind),
            names.items.number(event.item),
            event.request,
            names.tasks.number(event.task),
            names.places.number(place_of(event)),
            words(event),
        ]
        for event in log
    ]


def _bars(log: EventLog, names: _Tables) -> list[list[Any]]:
    """The requests, each with the row of its lane, where lanes are tasks and where they are items."""
    found, last = requests(log), last_instant(log)
    by_task = _rows(found, last, lambda one: one.task or _NO_LANE)
    by_item = _rows(found, last, lambda one: one.item or _NO_LANE)
    return [
        [
            one.number,
            names.items.number(one.item or _NO_LANE),
            names.tasks.number(one.task or _NO_LANE),
            one.sent,
            one.arrived,
            one.held,
            one.replied,
            one.over,
            OUTCOMES.index(one.outcome),
            one.status,
            one.free_from,
            one.again,
            one.early_by,
            one.early_for,
            by_task[one.number],
            by_item[one.number],
            one.first,
        ]
        for one in found
    ]


def _tasks(log: EventLog, names: _Tables) -> dict[str, Any]:
    """Who was blocked at the end, who waited through quiet stretches, and who ended unseen."""
    end, number = log.end, names.tasks.number
    history = end.history if end is not None else ()
    made = {event.primitive: event.at for event in history if event.action == "made"}
    # No task can have waited for it before it was made.
    since = {event.task: made.get(event.primitive, 0) for event in history if event.action == "waits"}
    stuck = [
        {
            "tasks": [number(name) for name in each.names],
            "since": [since.get(name, 0) for name in each.names],
            "text": "\n".join((*(f"at {frame}" for frame in each.frames), each.waits, *each.notes)),
        }
        for each in blocked(log)
    ]
    waits = [
        [number(task), wait.since, wait.until, f"{wait.what}{place(wait.file, wait.line)}"]
        for wait in (end.waits if end is not None else ())
        for task in wait.tasks
    ]
    died = [
        [number(each.task), each.at, f"ended with an error that nothing received: {each.error}"]
        for each in (end.unseen if end is not None else ())
    ]
    ends: list[list[Any]] = []
    if end is not None and end.how in ("returned", "raised"):
        ends.append([number("main"), end.at, f"{end.how} {end.error or ''}".strip()])
    ends += [
        [number(each.task), each.at, f"{each.how} {each.error}" if each.error else each.how]
        for each in (end.tasks if end is not None else ())
    ]
    return {"blocked": stuck, "waits": waits, "died": died, "ends": ends}


def _heading(log: EventLog, passing: EventLog | None) -> dict[str, Any]:
    """What stands above the picture."""
    header, notes, found = log.header, log.notes, requests(log)
    refused = sum(one.outcome == "refused" for one in found)
    time = "real" if header.backend == "real" else "virtual"
    return {
        "title": notes.title if notes is not None and notes.title else header.scenario,
        "how": how_it_ended(log),
        "facts": [
            f"scenario {header.scenario}",
            f"seed {header.seed}",
            header.backend,
            f"{counted(len(found), 'request')}, {refused} refused",
            f"{rounded(format_duration(last_instant(log)))} of {time} time",
        ],
        "found": notes.found if notes is not None else (),
        "replay": notes.replay if notes is not None else "",
        "sentences": [[each.text, each.at, each.request, each.beside] for each in explained(log, passing)],
        "verdicts": [[each.name, each.passed, each.summary, each.evidence] for each in verdicts(log)],
        "traced": (*map(str, waited_for(log)), *traced(log)),
    }


def _rows(found: Iterable[Request], last: int, lane: Callable[[Request], str]) -> dict[int, int]:
    """For each request the row of its lane in which it overlaps no other."""
    lanes: dict[str, list[Request]] = {}
    for one in found:
        lanes.setdefault(lane(one), []).append(one)
    rows: dict[int, int] = {}
    for ones in lanes.values():
        ordered = sorted(ones, key=lambda one: (one.sent, one.number))
        numbers = rows_of((one.sent, one.end(last)) for one in ordered)
        rows.update(zip((one.number for one in ordered), numbers, strict=True))
    return rows
