"""What a campaign says of itself: the figures of its bar, and the summary at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


def summary(courses: Sequence[Course], *, runs: int, seconds: float, processes: int) -> Iterator[str]:
    """What the campaign came to, and what each test has seen in all."""
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
        for kind, at in course.seen.coverage().items():
            yield (
                f"  {kind} ({_ACTS.get(kind, kind)}): {_many(at.points, 'choice point')}, "
                f"{at.deviated} tried otherwise than FIFO, {at.taken} of {at.options} alternatives taken"
            )


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
