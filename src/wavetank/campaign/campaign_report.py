"""The texts of a campaign: its progress, and the summary at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
from typing import Any, Final, NamedTuple

from ..text import counted
from .protocol import SearchEnd
from .state import SearchedTest

FORMAT: Final = "wavetank-campaign-report"
VERSION: Final = 1
"""Of the report as JSON, whose shape is written down in `docs/campaign.schema.json`."""

_KINDS: Final = {
    "run": "which task goes next",
    "switch": "which thread goes on",
    "stall": "time that passes inside",
    "pause": "time that passes where no deadline is near",
    "deadline": "a deadline that passes",
    "interruption": "an interruption",
    "provider": "what the fake does",
    "test": "what the test chooses",
}
"""What is chosen at a choice point, by its kind."""


def progress_text(tests: Sequence[SearchedTest], *, target: int | None, runs: int, seconds: float) -> str:
    """How far all tests together are."""
    made = sum(test.schedules for test in tests)
    of = "" if target is None else f" of {target * len(tests)}"
    failed = sum(test.failed for test in tests)
    return (
        f"{made}{of} schedules, {_rate(runs, seconds)}, {_distinct(tests)} distinct, "
        f"{counted(failed, 'failure')}"
    )


def _rate(runs: int, seconds: float) -> str:
    return f"{runs / max(seconds, 0.001):.0f}/s"


def _distinct(tests: Sequence[SearchedTest]) -> str:
    """How many distinct schedules there were; "about" where the number is an estimate."""
    exact = all(test.distinct.exact for test in tests)
    count = sum(min(test.distinct.count, test.schedules) for test in tests)
    return f"{'' if exact else 'about '}{count}"


def failures(tests: Sequence[SearchedTest]) -> Iterator[str]:
    """The report of each test that failed."""
    for test in tests:
        if test.end is not None and test.failed:
            yield f"__ {test.test} __"
            yield test.end.failure or test.end.broken
            yield ""


def github_lines(tests: Sequence[SearchedTest]) -> Iterator[str]:
    """A line for each test that failed, which GitHub shows at the line of the program."""
    for test in tests:
        if test.end is not None and test.failed and test.end.annotation:
            yield test.end.annotation


class Totals(NamedTuple):
    """What a campaign has made: runs, their seconds, and how many processes or workers of an engine."""

    runs: int
    seconds: float
    processes: int
    engine: str | None


def summary(tests: Sequence[SearchedTest], scenarios: Sequence[str], totals: Totals) -> Iterator[str]:
    """The result of the campaign and of each test; `scenarios` are those that the command line names."""
    runs, seconds, processes, engine = totals
    yield (
        f"wavetank explore: {counted(len(tests), 'test')}, {counted(runs, 'schedule')} in {seconds:.1f} s "
        f"({_rate(runs, seconds)}, {workers(processes, engine)})"
    )
    for test in tests:
        earlier = f" ({test.resumed} of them earlier)" if test.resumed else ""
        yield (
            f"{test.test}: {_result(test)}; {counted(test.schedules, 'schedule')}{earlier}, "
            f"{_distinct([test])} distinct"
        )
        if test.alone:
            yield "  made on this machine: with this policy each schedule depends on those before it"
        if _keeps_its_scenario(test, scenarios):
            yield f"  it names {test.scenario} as its scenario itself: --scenario does not change that"
        for kind, at in test.points.coverage().items():
            yield (
                f"  {kind} ({_KINDS.get(kind, kind)}): {counted(at.points, 'choice point')}, "
                f"{at.deviated} tried otherwise than FIFO, {at.taken} of {at.options} alternatives taken"
            )


def workers(processes: int, engine: str | None) -> str:
    """How many made the schedules, and where."""
    if engine is None:
        return counted(processes, "process", "processes")
    return f"{counted(processes, 'worker')} of {engine}"


def _keeps_its_scenario(test: SearchedTest, scenarios: Sequence[str]) -> bool:
    """Whether a test was played in another scenario than the command line names."""
    return bool(scenarios and test.scenario) and test.scenario not in scenarios


def values(
    tests: Sequence[SearchedTest], scenarios: Sequence[str], totals: Totals, *, resume: str | None
) -> dict[str, Any]:
    """The same as plain values: `resume` is the command that continues, if anything is left to do."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "wavetank": metadata.version("wavetank"),
        "engine": totals.engine,
        "schedules": totals.runs,
        "seconds": round(totals.seconds, 3),
        "processes": totals.processes,
        "failed": sum(test.failed for test in tests),
        "resume": resume,
        "tests": [_values_of(test, scenarios) for test in tests],
    }


def _values_of(test: SearchedTest, scenarios: Sequence[str]) -> dict[str, Any]:
    end = test.end or SearchEnd(test.test)
    return {
        "test": test.test,
        "scenario": test.scenario or None,
        "names_its_scenario": _keeps_its_scenario(test, scenarios),
        "result": _result(test),
        "failed": test.failed,
        "seconds": round(test.seconds, 3),
        "schedules": test.schedules,
        "earlier": test.resumed,
        "distinct": min(test.distinct.count, test.schedules),
        "distinct_is_exact": test.distinct.exact,
        "kind": end.kind or None,
        "schedule": end.token or None,
        "report": end.failure or end.broken or None,
        "timeline": end.timeline or None,
        "choice_points": {kind: at._asdict() for kind, at in test.points.coverage().items()},
    }


def _result(test: SearchedTest) -> str:
    end = test.end
    if end is None:
        return "no failure" if test.schedules else "not searched"
    if end.failure:
        return f"{end.kind or 'failure'} found"
    if end.broken:
        return "fails, and not by a schedule"
    if end.exhausted:
        return f"no failure; {end.exhausted}"
    return f"skipped: {end.skipped}"
