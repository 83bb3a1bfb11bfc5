"""What `wavetank museum` shows: the list of specimens, and one of them beside its twin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import fill
from typing import Final

from ..tank.search import Result
from .specimen import KINDS, Specimen

_WIDTH: Final = 100


def listing(specimens: Iterable[Specimen]) -> Iterator[str]:
    """A line for each specimen: its name, its row, the kind of bug, and what a search finds."""
    shown = [(each.name, each.row, KINDS[each.kind], each.found_as) for each in specimens]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def visit(specimen: Specimen, *, twin: bool, backend: str, schedules: int, seed: int) -> Iterator[str | bool]:
    """Search the buggy program, unless only the `twin` is wanted, and then its twin.

    Yields each line to print and at last whether both did as the label says: the one failed by
    the check and in the way it names, the other passed.
    """
    yield from _label(specimen)
    right = True
    for which in (True,) if twin else (False, True):
        result = specimen.search(twin=which, backend=backend, schedules=schedules, seed=seed)
        right = right and (result.failure is None if which else specimen.shown_by(result))
        yield ""
        yield from told(specimen, result, twin=which)
    yield right


def told(specimen: Specimen, result: Result[None], *, twin: bool) -> Iterator[str]:
    """What a search came to: the report of the failure, or how many schedules were passed."""
    who = f"the twin of {specimen.name}" if twin else specimen.name
    if result.failure is None:
        plural = "" if result.schedules == 1 else "s"
        yield f"{who} passed {result.schedules} schedule{plural} in {result.seconds:.1f} s"
        return
    yield f"{who} failed in schedule {result.schedules}, after {result.seconds:.1f} s:"
    yield from (f"  {line}" for line in result.failure.report().splitlines())


def _label(specimen: Specimen) -> Iterator[str]:
    yield f"{specimen.name} (row {specimen.row}, {KINDS[specimen.kind]})"
    yield fill(specimen.story, _WIDTH)
    yield f"Seen: {specimen.seen}."
