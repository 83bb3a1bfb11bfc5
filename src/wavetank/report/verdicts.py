"""How a run was judged, and how it failed, according to its log."""

from __future__ import annotations

from ..checks import judge
from ..checks.liveness import kind_of_hang
from ..checks.verdict import Verdict, failed_of
from ..events import EventLog


def verdicts(log: EventLog) -> tuple[Verdict, ...]:
    """The verdicts that the log notes; where it notes none, those of the default checks."""
    return log.derived(_verdicts)


def _verdicts(log: EventLog) -> tuple[Verdict, ...]:
    if log.notes is not None and log.notes.verdicts:
        return tuple(
            Verdict(each.name, each.passed, each.summary, each.evidence) for each in log.notes.verdicts
        )
    return tuple(judge(log).values())


def failures(log: EventLog) -> tuple[Verdict, ...]:
    """The verdicts that failed, the worst first."""
    return failed_of(verdicts(log))


def how_it_ended(log: EventLog) -> str:
    """In a few words: the kind of hang, the checks that failed, the error, or that it passed."""
    if (hang := kind_of_hang(log)) is not None:
        return hang
    failed = failures(log)
    if failed:
        return f"failed by {', '.join(verdict.name for verdict in failed)}"
    if log.end is None:
        return "still running"
    return f"ended with {log.end.error}" if log.end.error else "passed"
