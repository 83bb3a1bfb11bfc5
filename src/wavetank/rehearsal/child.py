"""One run of a rehearsal, in a process of its own: `python -m wavetank.rehearsal.child FOLDER`."""

from __future__ import annotations

import os
import pickle
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..clock import cpu_seconds
from ..seams.same_requests import asked
from ..sim.ended import Ended
from ..sim.origin import set_project
from ..sim.refused_io import LEAVE_OUT
from ..tank.runs.run_options import RunOptions
from ..tank.runs.trial_runs import Backend, Trial, Trials
from ..tank.tank import Tank
from .hosted import leave_python, run_hosted
from .job import ANSWER, JOB, Answer, Job, ProgramEnd, Rehearsal
from .program import ProgramError, run_as_main
from .tracebacks import own_lines
from .written_files import WrittenFiles

if TYPE_CHECKING:
    from ..provider.request import Request

HOSTED = "hosted"
"""The backend of a program that starts its own event loops, as logs and tokens name it."""


def main(folder: Path) -> None:
    """Make the run that a file in the folder asks for, write its answer there, and end the process."""
    process, written, leave_at_once = os.getpid(), WrittenFiles(), os._exit
    LEAVE_OUT.text = "rehearse only the function that sends the requests, as module:function"
    job: Job = pickle.loads((folder / JOB).read_bytes())

    def give(answer: Answer) -> None:
        if os.getpid() == process:  # else the program has forked, and this is the child that it did not end
            answer.end.value.written = written.stop()
            (folder / ANSWER).write_bytes(pickle.dumps(answer))
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        leave_at_once(0)

    give(rehearsed(job, abandoned=give))


def rehearsed(
    job: Job, *, leave: Callable[[], object] = leave_python, abandoned: Callable[[Answer], object]
) -> Answer:
    """Make a run in this process, which is not fit for much else then, and call `leave` at its end.

    `abandoned` gets the answer of a program that does not end although it was stopped.
    """
    set_project(os.getcwd())
    rehearsal, began = job.rehearsal, cpu_seconds()
    tanks: list[Tank] = []

    def main(tank: Tank) -> None:
        tanks.append(tank)
        _prepare(tank, rehearsal)
        run_as_main(rehearsal.program)

    def answer(end: Ended, trial: Trial | None = None) -> Answer:
        hide = str if trial is None else trial.hide
        program_end = _program_end(tanks[0], end.error, hide)
        program_end.seconds = cpu_seconds() - began
        return Answer(
            log=tanks[0].events.to_ndjson(),
            end=replace(end, error=None, value=program_end),
            error=None if end.error is None else (type(end.error).__name__, hide(str(end.error))),
            record=None if trial is None else trial.record,
            described=() if trial is None else trial.described,
            interleaving=() if trial is None else trial.run.interleaving,
        )

    options = RunOptions(seed=rehearsal.seed, max_virtual_seconds=rehearsal.max_virtual_seconds)
    run = partial(run_hosted, leave=leave, abandon=lambda end: abandoned(answer(end)))
    trials = Trials(main, rehearsal.scenario, options, backend=Backend(HOSTED, run))
    trials.budgets = job.budgets
    with trials.borrowed():
        trial = trials.run(
            job.plan,
            narrated=job.narrated,
            short_budget=job.short_budget,
            attentive=job.attentive,
            around=job.around,
        )
    return answer(trial.end, trial)


def _prepare(tank: Tank, rehearsal: Rehearsal) -> None:
    for each in rehearsal.hosts:
        host, _, dialect = each.rpartition("=")
        tank.fake_llm.add_host(host, dialect=dialect)
    if rehearsal.item_from is not None:
        tank.fake_llm.item_of = _item_rule(re.compile(rehearsal.item_from))


def _item_rule(pattern: re.Pattern[str]) -> Callable[[Request], str | None]:
    def item_of(request: Request) -> str | None:
        found = pattern.search(request.prompt)
        return None if found is None else found[1 if pattern.groups else 0] or None

    return item_of


def _program_end(tank: Tank, error: BaseException | None, hide: Callable[[str], str]) -> ProgramEnd:
    """How the program ended by itself."""
    end = ProgramEnd(asked_before=_asked_before([each.request for each in tank.fake_llm.requests]))
    if isinstance(error, ProgramError):
        end.not_found = str(error)
    elif isinstance(error, SystemExit):
        end.exit = error.code if isinstance(error.code, int) else hide(str(error.code))
    elif error is not None:
        end.traceback = hide(own_lines(error))
    return end


def _asked_before(requests: list[Request]) -> dict[int, int]:
    """For each request the first one of the same item that asked the very same."""
    first: dict[object, int] = {}
    return {each.id: first.setdefault((each.item, asked(each)), each.id) for each in requests}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
