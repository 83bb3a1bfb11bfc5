"""The errors and warnings of a judged run."""

from __future__ import annotations

from typing import final

from ..checks.verdict import Verdict


@final
class UnmatchedLedger(UserWarning):
    """The ledger and the requests have no item in common; the text says what to set."""


@final
class CheckFailed(AssertionError):
    """A check failed: its verdict with the evidence, and the line that repeats the run."""

    def __init__(self, verdict: Verdict, replay: str | None = None, report: str | None = None) -> None:
        lines = [str(verdict)]
        if replay is not None:
            lines.append(f"to repeat it: {replay}")
        super().__init__(report or "\n".join(lines))
        self.verdict = verdict


@final
class Diverged(RuntimeError):
    """A run that was to be repeated took another course; the text says where, and what the cause may be."""
