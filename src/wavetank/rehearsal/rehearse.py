"""Rehearse a program once, repeat one of its schedules, or search many of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, final

from ..progress import OneLine, PlainLines
from ..scenario import cut_down, digest
from ..sim.token import Schedule
from ..tank.runs.divergence import on_course
from ..tank.runs.finished_run import Run
from ..tank.runs.plain_values import run_values
from ..tank.runs.run_options import RunOptions, SearchOptions, cores
from ..tank.runs.trial_runs import Trial
from ..tank.search.made_schedule import Made
from ..tank.search.search import ScheduleSearch
from .child import HOSTED
from .fresh_process import FreshProcess, scratch_folder, standard_input
from .items import items_of
from .job import ProgramEnd, Rehearsal
from .process_trials import Answered, ProcessTrials
from .sandbox import make_sandbox

PASSED: Final = 0
VERDICT_FAILED: Final = 1
PROGRAM_FAILED: Final = 2
"""The exit statuses."""

FORMAT: Final = "wavetank-rehearsal"
VERSION: Final = 1
"""Of the result as JSON."""

_RESULTS: Final = ("passed", "verdict failed", "program failed")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """What came of a rehearsal: the run that is reported, and how many schedules were made."""

    run: Run[ProgramEnd]
    schedules: int = 1

    @property
    def status(self) -> int:
        """The exit status."""
        end = self.run.value
        if end is None or end.failed:
            return PROGRAM_FAILED
        if self.run.kind is not None:
            return VERDICT_FAILED
        return PASSED if self.run.events.of("arrived") else PROGRAM_FAILED

    def values(self, rehearsal: Rehearsal) -> dict[str, Any]:
        """The rehearsal as plain values."""
        run, end = self.run, self.run.value
        assert end is not None
        items = items_of(run.events, end.asked_before)
        shown = {name: value for name, value in run_values(run).items() if name != "outcomes"}
        return {
            "format": FORMAT,
            "version": VERSION,
            "program": rehearsal.program.name,
            "arguments": [*rehearsal.program.arguments],
            "result": _RESULTS[self.status],
            "status": self.status,
            **shown,
            "exit": end.exit,
            "traceback": end.traceback or None,
            "schedules": self.schedules,
            "items": [
                {name: getattr(item, name) for name in item.__slots__} | {"lost": item.lost} for item in items
            ],
            "written": [*end.written],
            "cpu_seconds": end.seconds,
        }


def rehearse(
    rehearsal: Rehearsal, command: Callable[[str | None], str], *, replay: str | None, sandbox: Path | None
) -> Rehearsed:
    """Run the program once, in plain FIFO order or as the token `replay` says.

    `command` returns the line that repeats it, with a token or without. The program writes in the working
    directory, or in a copy of it at `sandbox`; what a search has found is repeated in a copy of its own, as
    the search made it.

    Raises:
        Diverged: the run took another course than the one that the token was made from.
        ProcessDied: the program ended its process.
        SandboxError: the copy cannot be made.
        TokenError: the token is damaged, or belongs to another program or scenario.
    """
    schedule = Schedule(HOSTED, rehearsal.seed, digest(rehearsal.scenario))
    with scratch_folder() as scratch:
        if sandbox is not None:
            make_sandbox(sandbox)
        token = None if replay is None else Schedule.parse(replay)
        apart = token is not None and token.chosen and sandbox is None
        answered = FreshProcess(
            scratch=scratch, sandbox=sandbox, apart=apart, stdin=standard_input(scratch) if apart else None
        )
        if token is not None:
            return repeated(rehearsal, command, token, answered, twice=apart)  # one copy is for one run
        trial = _trials(rehearsal, answered).run(attentive=True)
    return Rehearsed(run=replace(trial.run, schedule=schedule.token(), replay=command(None)))


def repeated(
    rehearsal: Rehearsal,
    command: Callable[[str | None], str],
    token: Schedule,
    answered: Answered,
    *,
    twice: bool = True,
) -> Rehearsed:
    """The run that a token stands for, made by `answered`, which may be called `twice` for it.

    Raises:
        Diverged: it took another course.
        TokenError: the token belongs to another program or scenario.
    """
    whole = digest(rehearsal.scenario)
    program = _trials(rehearsal, answered).program
    schedule = token.matching(backend=HOSTED, digest=whole, program=program)
    kept = cut_down(rehearsal.scenario, schedule.cut.scenario)
    trials = _trials(replace(rehearsal, scenario=kept, seed=schedule.seed), answered)
    trial = on_course(trials, schedule, twice=twice) if schedule.chosen else trials.run(attentive=True)
    line = command(schedule.token())
    return Rehearsed(run=replace(trial.run, schedule=schedule.token(), replay=line))


def search_schedules(rehearsal: Rehearsal, command: Callable[[str | None], str], schedules: int) -> Rehearsed:
    """Run the program under so many schedules, each in a fresh process and a copy of the working directory.

    Raises:
        Diverged: a failing schedule does not repeat.
        ProcessDied: the program ended its process.
        SandboxError: the copy cannot be made.
    """
    # Not the bar of rich, which has a thread: a process with threads is not forked.
    display = OneLine(sys.stdout) if sys.stdout.isatty() else PlainLines(sys.stdout)
    with scratch_folder() as scratch, closing(display):
        answered = FreshProcess(scratch=scratch, apart=True, stdin=standard_input(scratch))

        def seen(made: int) -> None:
            display.show(made / schedules, f"{made} of {schedules} schedules")

        return searched(rehearsal, command, schedules, answered, jobs=cores(), seen=seen)


def searched(
    rehearsal: Rehearsal,
    command: Callable[[str | None], str],
    schedules: int,
    answered: Answered,
    *,
    jobs: int = 1,
    seen: Callable[[int], object] = lambda _: None,
) -> Rehearsed:
    """What a search comes to whose runs `answered` makes; `seen` is called with how many there are so far.

    The run that is reported is that of the first schedule that fails, repeated and shrunk; if none does,
    the first of all.
    """
    first: list[Trial] = []

    def watch(made: Made) -> None:
        if not made.number and made.trial is not None:
            first.append(made.trial)
        seen(made.number + 1)

    options = SearchOptions(seed=rehearsal.seed, schedules=schedules, jobs=jobs)
    searching = ScheduleSearch(_trials(rehearsal, answered), options, replay=command, watch=watch)
    searching.until_failure()
    result = searching.result()
    if result.failure is not None:
        return Rehearsed(run=result.failure, schedules=result.schedules)
    found = (f"none of {result.schedules} schedules fails; what follows is the first of them",)
    run = replace(first[0].run, replay=command(None), found=found)
    return Rehearsed(run=run, schedules=result.schedules)


def _trials(rehearsal: Rehearsal, answered: Answered) -> ProcessTrials:
    options = RunOptions(seed=rehearsal.seed, max_virtual_seconds=rehearsal.max_virtual_seconds)
    return ProcessTrials(rehearsal, options, answered)
