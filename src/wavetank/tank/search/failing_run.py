"""Make of a finding the failing run that a user reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final

from ...checks.verdict import Verdict
from ...scenario import LEFT_OUT, MEETS, SPARES, Scenario, treatment
from ...sim.choices import Kind, Level
from ...sim.token import THREADS
from ...text import counted
from ..runs.finished_run import Run
from ..runs.run_options import RunOptions
from ..runs.trial_runs import Trial, TrialMaker
from ..workload import Workload
from .failing_schedule import Finding, find

_TAKES: Final[dict[Kind, tuple[str, ...]]] = {
    "run": ("reordering",),
    "stall": ("stall",),
    "deadline": ("deadline that passes", "deadlines that pass"),
    "interruption": ("interruption",),
    "provider": ("choice of the provider", "choices of the provider"),
    "test": ("choice of the test", "choices of the test"),
}
"""What a schedule takes, by the kind of its deviations."""

_BUT_THOSE: Final = {SPARES: "spares", MEETS: "meets"}

_ON: dict[str, str] = {
    "asyncio": "on stock asyncio",
    "trio": "on trio",
    THREADS: "with threads",
    "hosted": "with the event loops and threads that the program starts",
}


def failing_run(
    trials: TrialMaker, failed: Trial, wanted: Level, made: int, replay: Callable[[str], str]
) -> Run[Any]:
    """Investigate a failing run, while the process is borrowed; the shrunk run with its report.

    Raises:
        Diverged: it does not repeat.
    """
    finding = find(trials, failed, wanted)
    token = finding.schedule.token()
    return replace(
        finding.trial.run,
        schedule=token,
        replay=replay(token),
        found=tuple(
            found_lines(
                trials.scenario,
                trials.options,
                finding,
                f"schedule {made} of the search ({failed.policy})",
            )
        ),
        passing=finding.passing,
    )


def unexercised(trial: Trial, unmet: str, made: int) -> Run[Any]:
    """The failing run of a search in which a part of the scenario met no request."""
    verdict = Verdict("exercised", False, f"in all {made} schedules, {unmet}")
    run = trial.run
    return replace(
        run,
        verdicts={**run.verdicts, "exercised": verdict},
        replay="run the search again, with other work or another scenario",
        found=("the search says nothing about part of the scenario",),
    )


def found_lines(scenario: Scenario, options: RunOptions, finding: Finding, where: str) -> Iterator[str]:
    """What was found `where`, and what it needs of the scenario and of the workload of the search."""
    run = finding.trial.run
    kind, what = finding.trial.failure or ("", "")
    named = kind if what in (kind, "liveness") else f"{kind} ({what})"
    yield f"{named} in {where}, {_reach(run, finding.looking)}"
    yield from _of_the_scenario(scenario, finding.schedule.cut.scenario)
    yield from _of_the_workload(options.workload, finding)


def _of_the_scenario(scenario: Scenario, cut: int) -> Iterator[str]:
    waves = len(scenario.wave)
    parts = {
        f"wave {number + 1}" if number < waves else f"fault {number - waves + 1}": treatment(cut, number)
        for number in range(waves + len(scenario.fault))
    }
    if LEFT_OUT in parts.values():
        needed = [part for part, how in parts.items() if how != LEFT_OUT]
        yield f"of the scenario it needs {' and '.join(needed) or 'no wave and no fault'}"
    for part, how in parts.items():
        if how in _BUT_THOSE:
            yield f"{part} {_BUT_THOSE[how]} all requests but those that the schedule names"


def _of_the_workload(workload: Workload | None, finding: Finding) -> Iterator[str]:
    cut = finding.schedule.cut
    if workload is not None and (cut.items or cut.workers):
        kept = workload.first(cut.items, cut.workers)
        yield (
            f"of the workload it needs {len(kept.items)} of {len(workload.items)} items "
            f"and {kept.workers} of {workload.workers} workers"
        )


def _reach(run: Run[Any], looking: int) -> str:
    """Which event loop can produce the failing order, what it takes, and how many runs looked for one."""
    counts = Counter(each.kind for each in run.deviations)
    takes = [counted(counts[kind], *words) for kind, words in _TAKES.items() if counts[kind]]
    with_what = f" ({', '.join(takes)})" if takes else " in plain FIFO order"
    backend = run.events.header.backend
    if run.level == "fifo" or backend == THREADS:
        return f"reachable {_ON[backend]}{with_what}"
    if run.level == "batch":
        return f"reachable on trio{with_what}"
    if not looking:
        return f"at the level any{with_what}"
    return f"not found in {looking} schedules at the levels fifo and batch, but at any{with_what}"
