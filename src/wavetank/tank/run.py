"""The result of a simulated run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar, final

from ..checks.liveness import kind_of_hang
from ..checks.starvation import NAME as STARVATION
from ..checks.verdict import Verdict
from ..clock import to_seconds
from ..events import EventLog
from .failure import CheckFailed

T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Run(Generic[T]):
    """What came of one run: `value` or `error` of `main`, the verdicts and the event log.

    `schedule` is the token that repeats the run and `replay` the whole call. `kind` says how it
    failed (`deadlock`, `livelock`, `overrun`, `starvation`, `error`, `check`; the first that
    holds), or is `None` for a run that did not.
    """

    value: T | None
    error: BaseException | None
    verdicts: Mapping[str, Verdict]
    events: EventLog
    steps: int
    schedule: str
    replay: str

    @property
    def virtual_seconds(self) -> float:
        """How long the run took in virtual time."""
        return to_seconds(self.events.end.at) if self.events.end is not None else 0.0

    @property
    def kind(self) -> str | None:
        if hang := kind_of_hang(self.events):
            return hang
        starved = self.verdicts.get(STARVATION)
        if starved is not None and starved.passed is False:
            return "starvation"
        if self.error is not None:
            return "error"
        return "check" if any(verdict.passed is False for verdict in self.verdicts.values()) else None

    def check(self) -> None:
        """Raise what went wrong first, with its evidence and the line that repeats the run.

        Raises:
            CheckFailed: a check failed.
            BaseException: `main` raised it.
        """
        failed = [verdict for verdict in self.verdicts.values() if verdict.passed is False]
        if self.error is not None and not any(verdict.name == "liveness" for verdict in failed):
            note = f"to repeat it: {self.replay}"
            if note not in getattr(self.error, "__notes__", ()):
                self.error.add_note(note)
            raise self.error
        for verdict in failed:
            raise CheckFailed(verdict, self.replay)

    def __repr__(self) -> str:
        came_to_its_end = self.events.end is not None and self.events.end.how == "returned"
        how = self.kind or ("passed" if came_to_its_end else "stopped")
        return f"<Run of {self.events.header.scenario}: {how} after {self.virtual_seconds:g} s>"
