"""A run as a drawing in text, for a terminal: a line for each task, with time from left to right."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final, final

from ..checks.liveness import kind_of_hang
from ..clock import format_duration
from ..events import EventLog
from .blocked import blocked
from .requests import requests
from .sentences import where_it_went_wrong
from .spans import bands, last_instant

LEAST: Final = 60
"""Columns that a drawing has at least: the labels and some forty instants."""

_LABEL: Final = 20
LANES: Final = 24
"""So many tasks are drawn: about a screen."""

_TROUBLE: Final = {"#": 4, "E": 4, "F": 3, "!": 2, "<": 2, "?": 2, "x": 1}
"""How much trouble each sign stands for."""
_TINY: Final = 1e-9
"""More than what sums of shares are wrong by."""
_TICK: Final = 14
"""Columns from one tick of the axis to the next: the longest label of an instant, and a space."""

_SIGNS: Final = {
    "answered": "-",
    "refused": "x",
    "spoiled": "!",
    "left": "<",
    "open": "?",
}
_MARKS: Final = {"completed": "o", "failed": "F", "cancelled": "C"}
_WAIT, _BLOCKED, _FOLDED = "~", "#", "…"
_ENDS: Final = {"returned": "|", "raised": "e", "cancelled": "c"}
_LEGEND: Final = {
    "-": "answered",
    "x": "refused",
    "!": "went wrong by a fault",
    "<": "left by its client",
    "?": "not over",
    "~": "asked to wait",
    "o": "item completed",
    "F": "item failed",
    "C": "item cancelled",
    "E": "task ended with an error that nothing received",
    "#": "blocked at the end",
    "|": "task returned",
    "e": "task raised an error",
    "c": "task was cancelled",
    "…": "the same again and again",
}


@final
class _Axis:
    """Columns for instants at which something happened.

    Each has room for equally many of them, but where there are more instants than columns: those around the
    one where it went wrong have a column each then, and what a run repeats to its end is left out.
    """

    def __init__(self, log: EventLog, columns: int) -> None:
        found = {event.at for event in log} | {one.sent for one in requests(log)} | {0, last_instant(log)}
        self.columns = columns
        self._instants = sorted(found)
        self.folded: int | None = None
        """The column that stands for what is left out."""
        if kind_of_hang(log) == "livelock" and len(found) > columns:
            self._leave_out(_last_outcome(log))
        self._ends = list(accumulate(self._widths(where_it_went_wrong(log))))
        """The column at which the share of each instant ends."""
        if self.folded is not None:
            self.folded = self._column(self.folded)

    def _leave_out(self, since: int) -> None:
        """Drop the middle of what is repeated since an instant."""
        first = bisect_right(self._instants, since) + self.columns // 2
        last = len(self._instants) - self.columns // 4
        if first + 1 < last:
            del self._instants[first + 1 : last]
            self.folded = first

    def _widths(self, decisive: int | None) -> list[float]:
        """How many columns each instant has."""
        many = len(self._instants)
        if decisive is None or many <= self.columns:
            return [self.columns / many] * many
        middle, reach = bisect_right(self._instants, decisive) - 1, self.columns // 6
        near = range(max(0, middle - reach), min(many, middle + reach + 1))
        other = (self.columns - len(near)) / max(1, many - len(near))
        return [1.0 if number in near else other for number in range(many)]

    def _column(self, place: int) -> int:
        return min(int(self._ends[place - 1] + _TINY) if place else 0, self.columns - 1)

    def column(self, at: int) -> int:
        """The column of an instant."""
        place = max(0, bisect_right(self._instants, at) - 1)
        return self.columns - 1 if place == len(self._instants) - 1 else self._column(place)

    def lines(self) -> Iterator[str]:
        """Ticks with their instants."""
        labels, ticks = "", ""
        for column in range(0, self.columns, _TICK):
            places = range(len(self._instants))
            place = next((each for each in places if self._column(each) >= column), places[-1])
            label = _short(self._instants[place])
            if column + len(label) <= self.columns:
                labels, ticks = f"{labels:<{column}}{label}", f"{ticks:<{column}}|"
        yield labels
        yield ticks


def _last_outcome(log: EventLog) -> int:
    return max((event.at for event in log if event.kind in _MARKS), default=0)


def _short(at: int) -> str:
    """An instant in at most twelve characters."""
    text = format_duration(at)
    digits = 1_000_000
    while len(text) >= _TICK - 1 and digits <= at:
        text, digits = format_duration(at // digits * digits), digits * 10
    return text


def drawn(log: EventLog, *, width: int = 80, most: int = LANES) -> list[str]:
    """The lines of a drawing, none wider than `width`, which is at least `LEAST`.

    Of the tasks at most `most` are drawn: those with most trouble, in the order of their first events.
    """
    axis = _Axis(log, max(LEAST, width) - _LABEL - 1)
    lanes = _lanes(log, axis)
    worst = sorted(lanes, key=lambda name: -_trouble(lanes[name]))[:most]
    shown = [(name, row) for name, row in lanes.items() if name in worst]
    lines = [f"{'':<{_LABEL}} {line}" for line in axis.lines()]
    lines += [_line(name, row) for name, row in _above(log, axis)]
    if axis.folded is not None:
        for row in lanes.values():
            row[axis.folded] = _FOLDED
    lines += [_line(name, row) for name, row in shown]
    if len(lanes) > len(shown):
        lines.append(f"and {len(lanes) - len(shown)} more tasks")
    used = {sign for _, row in shown for sign in row}
    legend = ", ".join(f"{sign} {meaning}" for sign, meaning in _LEGEND.items() if sign in used)
    return [*lines, f"({legend or 'nothing happened'}; time is not to scale)"]


def _trouble(row: Sequence[str]) -> int:
    """The worst sign in a row, and then how often there is one of trouble."""
    signs = [_TROUBLE.get(sign, 0) for sign in row]
    return max(signs) * 1000 + sum(sign > 0 for sign in signs)


def _line(name: str, row: Sequence[str]) -> str:
    label = name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"
    return f"{label:<{_LABEL}} {''.join(row)}".rstrip()


def _above(log: EventLog, axis: _Axis) -> Iterator[tuple[str, list[str]]]:
    for band in bands(log):
        row = [" "] * axis.columns
        for span in band.spans:
            _fill(row, axis.column(span.begin), axis.column(span.end), "=")
        yield band.name, row
    deviations = log.notes.deviations if log.notes is not None else ()
    if deviations:
        row = [" "] * axis.columns
        for each in deviations:
            row[axis.column(each.at)] = "^"
        yield "not in FIFO order", row


def _lanes(log: EventLog, axis: _Axis) -> dict[str, list[str]]:
    """For each task its row, in the order of their first events."""
    names = dict.fromkeys(event.task or "(not known)" for event in log if event.kind in ("arrived", *_MARKS))
    stuck = {name for each in blocked(log) for name in each.names}
    names |= dict.fromkeys(name for each in blocked(log) for name in each.names)
    rows = {name: [" "] * axis.columns for name in names}
    last: dict[str, int] = {}
    for one in requests(log):
        name, end = one.task or "(not known)", one.end(last_instant(log))
        if one.free_from is not None and one.over is not None:
            _fill(rows[name], axis.column(one.over), axis.column(one.free_from), _WAIT)
        _fill(rows[name], axis.column(one.sent), axis.column(end), _SIGNS[one.outcome])
        last[name] = max(last.get(name, 0), axis.column(end))
    for event in log:
        if event.kind in _MARKS:
            name, column = event.task or "(not known)", axis.column(event.at)
            rows[name][column] = _MARKS[event.kind]
            last[name] = max(last.get(name, 0), column)
    for ended in log.end.tasks if log.end is not None else ():
        if ended.task in rows:
            column = max(axis.column(ended.at), last.get(ended.task, -1) + 1)
            rows[ended.task][column : column + 1] = _ENDS[ended.how] if column < axis.columns else ""
    for each in log.end.unseen if log.end is not None else ():
        rows.setdefault(each.task, [" "] * axis.columns)[axis.column(each.at)] = "E"
    for name in stuck:
        _fill(rows[name], min(last.get(name, -1) + 1, axis.columns - 1), axis.columns - 1, _BLOCKED)
    return rows


def _fill(row: list[str], begin: int, end: int, sign: str) -> None:
    row[begin : end + 1] = sign * (min(end, len(row) - 1) - begin + 1)
