"""What `wavetank museum` shows: the list of specimens, and one of them beside its twin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import fill
from typing import Any, Final

from ..tank.runs.plain_values import run_values
from ..tank.search.search import Result
from ..text import counted
from .specimen import KINDS, Specimen

_WIDTH: Final = 100
"""Columns of the text: easy to read, and no wider than most terminals."""


def listing(specimens: Iterable[Specimen]) -> Iterator[str]:
    """A line for each specimen: its name, its row, the kind of bug, and what a search finds."""
    shown = [(each.name, each.row, KINDS[each.kind], each.found_as) for each in specimens]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def as_labelled(specimen: Specimen, result: Result[None], *, twin: bool) -> bool:
    """Whether a program did as the label says: the buggy one failed by that check, or its twin passed."""
    return result.failure is None if twin else specimen.shown_by(result)


def label(specimen: Specimen) -> dict[str, Any]:
    """The label of a specimen, as plain values."""
    return {
        "name": specimen.name,
        "row": specimen.row,
        "kind": KINDS[specimen.kind],
        "found_as": specimen.found_as,
        "story": specimen.story,
        "seen": specimen.seen,
        "items": specimen.items,
        "backends": [*specimen.backends],
    }


def values(result: Result[None], *, twin: bool) -> dict[str, Any]:
    """The result of a search, as plain values."""
    failure = result.failure
    return {
        "twin": twin,
        "schedules": result.schedules,
        "distinct": result.distinct,
        "seconds": result.seconds,
        "failure": None if failure is None else {**run_values(failure), "report": failure.report()},
    }


def result_lines(specimen: Specimen, result: Result[None], *, twin: bool) -> Iterator[str]:
    """The result of a search: the report of the failure, or how many schedules passed."""
    who = f"the twin of {specimen.name}" if twin else specimen.name
    if result.failure is None:
        yield f"{who} passed {counted(result.schedules, 'schedule')} in {result.seconds:.1f} s"
        return
    yield f"{who} failed in schedule {result.schedules}, after {result.seconds:.1f} s:"
    yield from (f"  {line}" for line in result.failure.report().splitlines())


def label_lines(specimen: Specimen) -> Iterator[str]:
    """The label of a specimen, in lines."""
    yield f"{specimen.name} (row {specimen.row}, {KINDS[specimen.kind]})"
    yield fill(specimen.story, _WIDTH)
    yield f"Seen: {specimen.seen}."
