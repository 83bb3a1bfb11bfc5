"""Notes on a run in its log: how it was judged, where it differs from FIFO order, what repeats it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict

from ..checks.verdict import Verdict
from ..events import Deviated, EventLog, Judged, Notes, Stepped
from ..sim.interleaving import TakenStep
from ..sim.narrator import DescribedDeviation


def noted(
    log: EventLog,
    verdicts: Iterable[Verdict],
    *,
    title: str = "",
    found: tuple[str, ...] = (),
    replay: str = "",
    deviations: Sequence[DescribedDeviation] = (),
    interleaving: Sequence[TakenStep] = (),
) -> EventLog:
    """The log with notes; `title` names the run, `found` says how a search came upon it."""
    judged = tuple(
        Judged(name=each.name, passed=each.passed, summary=each.summary, evidence=each.evidence)
        for each in verdicts
    )
    deviated = tuple(
        Deviated(kind=each.kind, at=each.at, step=each.step, text=each.text, task=each.task, fifo=each.fifo)
        for each in deviations
    )
    return log.with_notes(
        Notes(
            title=title,
            found=found,
            replay=replay,
            verdicts=judged,
            deviations=deviated,
            interleaving=tuple(Stepped(**asdict(each)) for each in interleaving),
        )
    )


def beginning_of(
    log: EventLog, verdicts: Iterable[Verdict], passing: EventLog | None = None
) -> tuple[str, ...]:
    """The sentences that the report of a failure begins with; none where no request was sent."""
    if not log.of("arrived"):
        return ()
    from ..report.sentences import FIRST, numbered

    return tuple(f"  {line}" for line in numbered(noted(log, verdicts), passing)[:FIRST])


def interleaving_of(log: EventLog, passing: EventLog | None = None) -> tuple[str, ...]:
    """The steps around the deviations of a run, as lines, and those of the nearest run that passes."""
    from ..report.interleaving import interleaving

    return tuple(interleaving(log, passing))
