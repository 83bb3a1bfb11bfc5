"""What a campaign says of itself: the figures of its bar, and the summary at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from .orders import Ended
from .state import Course

_ACTS = {"run": "which task goes next", "stall": "time that passes inside", "provider": "what the fake does"}


def figures(courses: Sequence[Course], *, target: int | None, runs: int, seconds: float) -> str:
    """How far all tests together have come."""
    made = sum(course.schedules for course in courses)
    of = "" if target is None else f" of {target * len(courses)}"
    failed = sum(course.failed for course in courses)
    return (
        f"{made}{of} schedules, {runs / max(seconds, 0.001):.0f}/s, "
        f"{distinct(courses)} distinct, {_many(failed, 'failure')}"
    )


def distinct(courses: Sequence[Course]) -> str:
    """How many different schedules were seen, said to be about so many where it is an estimate."""
    exact = all(course.sketch.exact for course in courses)
    count = sum(min(course.sketch.count, course.schedules) for course in courses)
    return f"{'' if exact else 'about '}{count}"


def failures(courses: Sequence[Course]) -> Iterator[str]:
    """The report of each test that failed."""
    for course in courses:
        ended = course.ended
        if ended is not None and course.failed:
            yield f"__ {course.test} __"
            yield ended.failure or ended.broken
            yield ""


def github_lines(courses: Sequence[Course]) -> Iterator[str]:
    """A line for each test that failed, which GitHub shows at the line of the program."""
    for course in courses:
        if course.ended is not None and course.failed and course.ended.annotation:
            yield course.ended.annotation


def summary(
    courses: Sequence[Course], asked: Sequence[str], *, runs: int, seconds: float, processes: int
) -> Iterator[str]:
    """What the campaign came to, and what each test has seen in all; `asked` are the scenarios it names."""
    yield (
        f"wavetank explore: {_many(len(courses), 'test')}, {_many(runs, 'schedule')} in {seconds:.1f} s "
        f"({runs / max(seconds, 0.001):.0f}/s, {_many(max(processes, 1), 'process', 'processes')})"
    )
    for course in courses:
        earlier = f" ({course.resumed} of them earlier)" if course.resumed else ""
        yield (
            f"{course.test}: {_came_to(course)}; {_many(course.schedules, 'schedule')}{earlier}, "
            f"{distinct([course])} distinct"
        )
        if _keeps_its_own(course, asked):
            yield f"  it names {course.scenario} as its scenario itself: --scenario does not change that"
        for kind, at in course.seen.coverage().items():
            yield (
                f"  {kind} ({_ACTS.get(kind, kind)}): {_many(at.points, 'choice point')}, "
                f"{at.deviated} tried otherwise than FIFO, {at.taken} of {at.options} alternatives taken"
            )


def _keeps_its_own(course: Course, asked: Sequence[str]) -> bool:
    """Whether a test was played in another scenario than the command line asks for."""
    return bool(asked and course.scenario) and course.scenario not in asked


def values(
    courses: Sequence[Course],
    asked: Sequence[str],
    *,
    runs: int,
    seconds: float,
    processes: int,
    again: str | None,
) -> dict[str, Any]:
    """The same as plain values: `resume` is the command that goes on, if anything is left to do."""
    return {
        "schedules": runs,
        "seconds": seconds,
        "processes": max(processes, 1),
        "failed": sum(course.failed for course in courses),
        "resume": again,
        "tests": [_values_of(course, asked) for course in courses],
    }


def _values_of(course: Course, asked: Sequence[str]) -> dict[str, Any]:
    ended = course.ended or Ended(course.test)
    return {
        "test": course.test,
        "scenario": course.scenario or None,
        "names_its_scenario": _keeps_its_own(course, asked),
        "result": _came_to(course),
        "failed": course.failed,
        "schedules": course.schedules,
        "earlier": course.resumed,
        "distinct": min(course.sketch.count, course.schedules),
        "distinct_is_exact": course.sketch.exact,
        "kind": ended.kind or None,
        "schedule": ended.token or None,
        "report": ended.failure or ended.broken or None,
        "choice_points": {kind: at._asdict() for kind, at in course.seen.coverage().items()},
    }


def _came_to(course: Course) -> str:
    ended = course.ended
    if ended is None:
        return "no failure" if course.schedules else "not searched"
    if ended.failure:
        return f"{ended.kind or 'failure'} found"
    if ended.broken:
        return "fails, and not by a schedule"
    if ended.spent:
        return f"no failure; {ended.spent}"
    return f"skipped: {ended.skipped}"


def _many(count: int, word: str, words: str = "") -> str:
    return f"{count} {word if count == 1 else words or word + 's'}"
