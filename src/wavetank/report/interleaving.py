"""The steps around the deviations of a run as lines, and beside them those of the run that passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from ..clock import format_duration
from ..events import EventLog, Stepped

_MOST: Final = 14
"""So many steps are shown: a screen has room for two such lists."""

_TEXT: Final = 60
"""Characters of a line of the program."""


def interleaving(log: EventLog, passing: EventLog | None = None) -> Iterator[str]:
    """The steps of a failing run, and of the nearest one that passes; nothing for plain FIFO order."""
    steps = _steps(log)
    if not steps or log.notes is None or not log.notes.deviations:
        return
    yield "the interleaving (who ran, up to which line; * where FIFO would have run another):"
    yield from _table(steps)
    beside = () if passing is None else _steps(passing)
    if passing is not None and passing.notes is not None and beside:
        yield f"beside it a run that passes, {passing.notes.title.partition(' (')[0]}:"
        yield from _table(beside)


def _steps(log: EventLog) -> Sequence[Stepped]:
    return log.notes.interleaving if log.notes is not None else ()


def _table(steps: Sequence[Stepped]) -> Iterator[str]:
    shown = steps[-_MOST:]
    rows = [
        ("*" if each.deviates else "", format_duration(each.at), each.task, f"{each.file}:{each.line}")
        for each in shown
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left_out = len(steps) - len(shown)
    for each, row in zip(shown, rows, strict=True):
        if each.skipped or left_out:
            yield f"    … {each.skipped + left_out} more"
            left_out = 0
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {cells}  {_cut(each.text)}".rstrip()


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[:_TEXT]}…"
