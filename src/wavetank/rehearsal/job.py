"""What a fresh process is asked to rehearse, and what it answers: plain values that travel between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from ..scenario import Scenario
    from ..sim.choices import Recorder
    from ..sim.ended import Ended
    from ..sim.interleaving import TakenStep
    from ..sim.narrator import DescribedDeviation
    from ..sim.policies.plan import Plan
    from ..tank.runs.run_budgets import RunBudgets
    from .program import Program

JOB: Final = "job"
ANSWER: Final = "answer"
"""The files of the two, in a folder that the first process makes."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What to rehearse, as the command line says it.

    `item_from` is a regular expression whose first group, searched in a prompt, names the item.
    `hosts` are further ones that the fake answers for, each as `HOST=DIALECT`.
    """

    program: Program
    scenario: Scenario
    seed: int = 0
    item_from: str | None = None
    hosts: tuple[str, ...] = ()
    max_virtual_seconds: float | None = None
    paid_per_item: int = 1


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of a rehearsal; the arguments are those of `TrialMaker.run`."""

    rehearsal: Rehearsal
    plan: Plan | None
    budgets: RunBudgets
    narrated: bool
    short_budget: bool
    attentive: bool
    around: Sequence[int] = ()


@final
@dataclass(slots=True, kw_only=True)
class ProgramEnd:
    """How the program itself ended, and what it did beside its requests.

    `exit` is what `sys.exit` was given, if it was called. `traceback` is that of its error, with its own
    lines only. `not_found` says why there was no program to run. `written` are the files that it opened to
    write, and `seconds` the CPU time that it took. `asked_before` has, for each request, the first one of
    the same item that asked the very same.
    """

    exit: object = None
    traceback: str = ""
    not_found: str = ""
    written: Sequence[str] = ()
    seconds: float = 0.0
    asked_before: Mapping[int, int] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the program says that it failed: by an error, or by an exit status that is not 0."""
        return bool(self.traceback or self.not_found) or self.exit not in (None, 0)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a run: its event log as bytes, its end without the error, and the error as two texts."""

    log: bytes
    end: Ended
    error: tuple[str, str] | None
    record: Recorder | None
    described: Sequence[DescribedDeviation]
    interleaving: Sequence[TakenStep]
