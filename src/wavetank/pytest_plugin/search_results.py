"""What the searches of a test came to, on its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

import pytest

from ..checks.verdict import failed_of
from ..events import without_surrogates
from ..tank.runs.finished_run import Run
from ..tank.runs.plain_values import failed_checks, place_of_failure, run_values
from ..tank.search.search import Result
from .facts import draw, failure_of, keep_log, set_properties, title_of
from .options import SEARCHES


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A search that was made: what it came to, under which scenario and seed, and the line to repeat it.

    `kept` is the scenario that the test names itself where the command line names others. `fixed` counts
    the failures that were kept from earlier sessions and pass now.
    """

    result: Result[Any]
    scenario: str
    seed: int
    backend: str
    kept: str = ""
    fixed: int = 0


RESULTS: Final[pytest.StashKey[list[Made]]] = pytest.StashKey()


def name_properties(item: pytest.Item) -> None:
    """Let reports such as JUnit's say what a test was searched under, and the token of its failure."""
    searches = item.stash.get(RESULTS, [])
    if searches:
        made = next((each for each in searches if each.result.failure is not None), searches[0])
        failure = made.result.failure
        token = failure.schedule if failure is not None else ""
        set_properties(item, scenario=made.scenario, seed=made.seed, token=token or None)


def note_search(item: pytest.Item, report: pytest.TestReport) -> None:
    """Give a test's report the numbers of its searches; keep the log of a failure if asked for."""
    searches = item.stash.get(RESULTS, [])
    if not searches:
        return
    results = [made.result for made in searches]
    failure = next((result.failure for result in results if result.failure is not None), None)
    kept = ""
    if failure is not None:
        kept = keep_log(item, report, lambda: failure.logs(title_of(item)), failed=True)
        draw(item, report, failure.logs()[0])
    facts = {
        "schedules": sum(result.schedules for result in results),
        "distinct": sum(result.distinct for result in results),
        "interrupted": sum(result.interrupted or 0 for result in results),
        "interruptible": sum(result.schedules for result in results if result.interrupted is not None),
        "met": any(result.met for result in results),
        "seen": {name: line for result in reversed(results) for name, line in result.seen.items()},
        "after": sum(result.after for result in results),
        "seconds": sum(result.seconds for result in results),
        "proved": "; ".join(result.proved for result in results if result.proved),
        "unmet": "; ".join(result.unmet for result in results if result.unmet and result.failure is None),
        "kept": ", ".join(dict.fromkeys(made.kept for made in searches if made.kept)),
        "fixed": sum(made.fixed for made in searches),
        "processes": max(result.processes for result in results),
        "one_process": next((result.one_process for result in results if result.one_process), ""),
        "report": kept,
        "searches": [_values_of(made) for made in searches if made.result.schedules],
        **(_of_the_failure(failure) if failure is not None and report.failed else {}),
    }
    vars(report)[SEARCHES] = without_surrogates(facts)  # which pytest-xdist cannot carry


def _values_of(made: Made) -> dict[str, Any]:
    """A search as plain values; of its failing run everything that a report has of a run."""
    result = made.result
    return {
        "scenario": made.scenario,
        "seed": made.seed,
        "backend": made.backend,
        "schedules": result.schedules,
        "distinct": result.distinct,
        "proved": result.proved,
        "unmet": result.unmet or None,
        "failure": None if result.failure is None else run_values(result.failure),
    }


def _of_the_failure(failure: Run[Any]) -> dict[str, Any]:
    kind, error = failure.kind or "", failure.error
    if kind == "error" and error is not None:
        failed, kind = failed_checks(error), f"error ({type(error).__name__})"
    else:
        failed = failed_of(failure.verdicts.values())
    return {
        "failed": failure_of(failed, failure.replay, kind=kind),
        "place": place_of_failure(failure.events, failed, failure.error),
    }
