"""Runs of a rehearsal as a search makes them: each comes from a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, final

from ..checks import Check
from ..events import EventLog
from ..sim.policies.plan import Plan
from ..sim.token import FIFO, checksum
from ..tank.runs.run_options import RunOptions
from ..tank.runs.trial_runs import Trial, TrialMaker
from .items import every_item_answered, paid_once
from .job import Answer, Job, ProgramEnd, Rehearsal

CHECKS: Final = ("liveness", "hosts")
"""What the catalogue can judge without a ledger, and never fails a correct program."""

Answered = Callable[[Job], Answer]


@final
class ProcessTrials(TrialMaker):
    """Makes runs of a program; `answered` makes one, by default in a fresh process."""

    GENTLER_RUNS: ClassVar = 0
    """A run takes a process, and with its imports a second or more."""

    def __init__(self, rehearsal: Rehearsal, options: RunOptions, answered: Answered) -> None:
        super().__init__(rehearsal.scenario, options, program=_fingerprint(rehearsal))
        self._rehearsal = rehearsal
        self._answered = answered

    def borrowed(self) -> AbstractContextManager[None]:
        return nullcontext()

    def run(
        self,
        plan: Plan | None = None,
        *,
        narrated: bool = False,
        short_budget: bool = False,
        attentive: bool = False,
        around: Sequence[int] = (),
    ) -> Trial:
        self.count()
        job = Job(
            rehearsal=replace(self._rehearsal, scenario=self.scenario),
            plan=plan,
            budgets=self.budgets,
            narrated=narrated,
            short_budget=short_budget,
            attentive=attentive,
            around=around,
        )
        answer = self._answered(job)
        error = None if answer.error is None else _error(*answer.error)
        program_end: ProgramEnd = answer.end.value
        return Trial(
            end=replace(answer.end, error=error),
            log=EventLog.from_ndjson(answer.log),
            checks=_checks(program_end, self._rehearsal.paid_per_item),
            level=FIFO if plan is None else plan.level,
            record=answer.record,
            described=answer.described,
            interleaving=answer.interleaving,
            policy="fifo" if plan is None else plan.policy,
        )


def _checks(end: ProgramEnd, paid_per_item: int) -> tuple[Check, ...]:
    return (
        *CHECKS,
        partial(every_item_answered, asked_before=end.asked_before),
        partial(paid_once, asked_before=end.asked_before, allowed=paid_per_item),
    )


def _error(name: str, text: str) -> BaseException:
    """An error of the program, of which only the name of its type and its text left its process."""
    kind: type[BaseException] = type(name, (Exception,), {})
    return kind(text)


def _fingerprint(rehearsal: Rehearsal) -> int:
    """Sixteen bits of the program's file, where it is one, and of its arguments."""
    program = rehearsal.program
    is_file = program.kind == "script" and Path(program.name).is_file()
    code = Path(program.name).read_bytes() if is_file else program.name.encode()
    return checksum(
        b"\0".join((code, *(each.encode(errors="surrogateescape") for each in program.arguments)))
    )
