"""The notes that a log of a run is given: how it was judged, where it differs from FIFO order, what repeats it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ...checks.verdict import Verdict
from ...events import Deviated, EventLog, Judged, Notes

if TYPE_CHECKING:
    from .finished_run import Run


def noted(run: Run[Any], title: str = "") -> EventLog:
    """The log of a run with its notes; `title` names the run."""
    deviations = tuple(
        Deviated(kind=each.kind, at=each.at, step=each.step, text=each.text, task=each.task, fifo=each.fifo)
        for each in run.deviations
    )
    return run.events.with_notes(
        Notes(
            title=title,
            found=run.found,
            replay=run.replay,
            verdicts=judged_checks(run.verdicts.values()),
            deviations=deviations,
        )
    )


def judged_checks(verdicts: Iterable[Verdict]) -> tuple[Judged, ...]:
    """Verdicts as notes have them."""
    return tuple(
        Judged(name=each.name, passed=each.passed, summary=each.summary, evidence=each.evidence)
        for each in verdicts
    )
