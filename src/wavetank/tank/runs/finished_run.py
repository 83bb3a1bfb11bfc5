"""What a run gives back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar, final

from ...checks.liveness import NAME as LIVENESS
from ...checks.liveness import kind_of_hang
from ...checks.outcomes import Outcomes, outcomes
from ...checks.starvation import NAME as STARVATION
from ...checks.verdict import Verdict, failed_of
from ...clock import to_seconds
from ...events import EventLog
from ...sim.choices import Order
from ...sim.interleaving import TakenStep
from ...sim.narrator import DescribedDeviation
from ..failure import CheckFailed
from ..notes import beginning_of, noted

T = TypeVar("T")
_BEFORE_AN_ERROR: Final = (LIVENESS, STARVATION)


@final
@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Run(Generic[T]):
    """What came of one run: `value` or `error` of `main`, the verdicts and the event log.

    `schedule` is the token that repeats the run and `replay` the whole call or command.
    `deviations` are the choices in which it differs from FIFO order and `level` the order it
    needs: `fifo`, `batch` or `any`. `found` says how a search came upon it. `hide` takes the secrets
    out of a text. `passing` is the log of the nearest run that passes, which has one deviation fewer.
    `interleaving` has the steps around the deviations, and the last ones.
    """

    value: T | None
    error: BaseException | None
    verdicts: Mapping[str, Verdict]
    events: EventLog
    steps: int
    schedule: str = ""
    replay: str = ""
    deviations: tuple[DescribedDeviation, ...] = ()
    level: Order = "fifo"
    found: tuple[str, ...] = ()
    hide: Callable[[str], str] = str
    passing: EventLog | None = None
    interleaving: tuple[TakenStep, ...] = ()

    @property
    def virtual_seconds(self) -> float:
        """How long the run took in virtual time."""
        return to_seconds(self.events.end.at) if self.events.end is not None else 0.0

    @property
    def kind(self) -> str | None:
        """How it failed, the first that holds; `None` if it did not.

        `deadlock`, `livelock`, `overrun`, `starvation`, `error`, `check`.
        """
        if hang := kind_of_hang(self.events):
            return hang
        starved = self.verdicts.get(STARVATION)
        if starved is not None and starved.passed is False:
            return "starvation"
        if self.error is not None:
            return "error"
        return "check" if any(verdict.passed is False for verdict in self.verdicts.values()) else None

    @property
    def outcomes(self) -> Outcomes:
        """How many items were submitted, completed, failed (by the type of error) and cancelled."""
        return outcomes(self.events)

    def report(self, *, full: bool = False) -> str:
        """How the run failed, in words: verdicts and evidence, schedule, last events, the line to repeat it.

        `full`: with the evidence of every failed check, not only of the worst. A run that passed has no
        report: the text is empty.
        """
        from .run_report import report

        return report(self, full=full)

    def logs(self, title: str = "") -> tuple[EventLog, ...]:
        """The event log with its notes, and that of the nearest run that passes, if one is known."""
        log = noted(
            self.events,
            self.verdicts.values(),
            title=title,
            found=self.found,
            replay=self.replay,
            deviations=self.deviations,
            interleaving=self.interleaving,
        )
        return (log,) if self.passing is None else (log, self.passing)

    def write_timeline(self, path: str | os.PathLike[str]) -> None:
        """Write the page `timeline.html`: what happened when, in a picture; it loads nothing else.

        Raises:
            OSError: the file cannot be written.
        """
        from ...report.page import timeline_page

        Path(path).write_bytes(timeline_page(self.logs()))

    def write_trace(self, path: str | os.PathLike[str]) -> None:
        """Write the run as Chrome trace events, for Perfetto and speedscope.

        Raises:
            OSError: the file cannot be written.
        """
        from ...report.trace import trace_json

        Path(path).write_bytes(trace_json(self.logs()))

    def check(self) -> None:
        """Raise what went wrong, with its evidence and the line that repeats the run.

        Raises:
            CheckFailed: checks failed; the text names all of them, the worst first.
            BaseException: `main` raised it.
        """
        __tracebackhide__ = True
        failed = failed_of(self.verdicts.values())
        if self.error is not None and not any(verdict.name in _BEFORE_AN_ERROR for verdict in failed):
            note = self.report() if self.found else f"to repeat it: {self.replay}"
            if note not in getattr(self.error, "__notes__", ()):
                self.error.add_note(note)
            raise self.error
        if failed:
            found = (lambda full: self.report(full=full)) if self.found else None
            happened = beginning_of(self.events, self.verdicts.values(), self.passing)
            raise CheckFailed(failed, replay=self.replay, happened=happened, report=found)

    def __repr__(self) -> str:
        came_to_its_end = self.events.end is not None and self.events.end.how in ("returned", "interrupted")
        how = self.kind or ("passed" if came_to_its_end else "stopped")
        return f"<Run of {self.events.header.scenario}: {how} after {self.virtual_seconds:g} s>"
