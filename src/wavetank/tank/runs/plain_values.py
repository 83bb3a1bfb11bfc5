"""Verdicts and runs as plain values, which become JSON and travel between processes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ...checks.outcomes import outcomes, tokens
from ...checks.verdict import Verdict, failed_of
from ...clock import to_seconds
from ...events import EventLog
from ...sim.origin import Place, place_of_error
from ..failure import CheckFailed
from .finished_run import Run


def verdict_values(verdicts: Iterable[Verdict]) -> list[dict[str, Any]]:
    """Each verdict with its `name`, `passed` (`None`: not judged), `summary` and `evidence`."""
    return [asdict(verdict) | {"evidence": list(verdict.evidence)} for verdict in verdicts]


def log_values(log: EventLog) -> dict[str, Any]:
    """What a log says of its run: scenario, seed, requests, outcomes of items, tokens and time."""
    return {
        "scenario": log.header.scenario,
        "seed": log.header.seed,
        "seconds": to_seconds(log.end.at) if log.end is not None else None,
        "requests": len(log.of("arrived")),
        "refused": len(log.of("refused")),
        "outcomes": asdict(outcomes(log)),
        "tokens": tokens(log),
    }


def run_values(run: Run[Any]) -> dict[str, Any]:
    """A run with its verdicts, how it failed (`kind`) and what repeats it."""
    return {
        "kind": run.kind,
        "error": None if run.error is None else type(run.error).__name__,
        **log_values(run.events),
        "verdicts": verdict_values(run.verdicts.values()),
        "schedule": run.schedule or None,
        "replay": run.replay or None,
    }


def failed_checks(error: BaseException) -> tuple[Verdict, ...]:
    """The failed verdicts that an error stands for, also one inside of exception groups."""
    if isinstance(error, CheckFailed):
        return error.verdicts
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return tuple(verdict for each in inner for verdict in failed_checks(each))


def place_of_failure(log: EventLog, failed: Iterable[Verdict], error: BaseException | None) -> Place | None:
    """The line of the program to look at: of the worst item's submission, a broken invariant, or an error."""
    worst = next(iter(failed_of(failed)), None)
    if worst is None:
        return None if error is None else place_of_error(error)
    if worst.name == "always":
        at = next((event for event in log.of("violated") if event.file is not None), None)
    else:
        text = str(worst)
        entered = [
            event for event in log.of("submitted") if event.file is not None and repr(event.item) in text
        ]
        at = min(entered, key=lambda event: text.find(repr(event.item)), default=None)
    return None if at is None or at.file is None or at.line is None else (at.file, at.line)
