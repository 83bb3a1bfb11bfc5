"""What is said at the end of a rehearsal, of a program or of `wavetank run`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..checks.also_seen import also_seen
from ..checks.exercised import missed
from ..checks.verdict import Verdict, failed_of
from ..shown import shortened
from ..tank.notes import beginning_of
from ..tank.runs.run_report import schedule_in_words
from ..text import counted, duration_text, error_text
from .items import item_lines, items_of

if TYPE_CHECKING:
    from ..tank.runs.finished_run import Run
    from .job import ProgramEnd

_FILES: Final = 5
_HOSTS: Final = "in a rehearsal, --host HOST=DIALECT lets the fake answer for a host of your own"
_LONGEST_ERROR: Final = 300
"""Characters of an error in its line: its whole text is in the traceback."""


def headline(run: Run[Any], what: str) -> str:
    """What was rehearsed, how long it took in virtual time, and how often it was refused."""
    arrived, refused = len(run.events.of("arrived")), len(run.events.of("refused"))
    return (
        f"{what}: {duration_text(run.virtual_seconds)} of virtual time, {counted(arrived, 'request')}, "
        f"{refused} refused"
    )


def verdict_lines(verdicts: Iterable[Verdict]) -> Iterator[str]:
    """Each verdict in a line; one that failed with its evidence."""
    for verdict in verdicts:
        yield from (str(verdict) if verdict.passed is False else verdict.headline).splitlines()


def error_lines(run: Run[Any]) -> Iterator[str]:
    """How the program ended, if it raised an error."""
    if run.error is not None:
        yield f"it ended with {type(run.error).__name__}: {run.error}"


def ending(run: Run[ProgramEnd], what: str, *, folder: Path | None = None) -> Iterator[str]:
    """What happened in the rehearsal of a program in its `folder`, and what of it is right or wrong."""
    end = run.value
    assert end is not None
    yield headline(run, what)
    yield from run.found
    yield from item_lines(items_of(run.events, end.asked_before))
    if end.failed:
        yield from _failed(run, end)
    elif not run.events.of("arrived") and run.kind is None:
        yield from _idle()
    if run.kind is not None:
        yield from beginning_of(run.events, run.verdicts.values(), run.passing)
    yield from verdict_lines(_shown(run, end))
    if "hosts" in (verdict.name for verdict in failed_of(run.verdicts.values())):
        yield _HOSTS
    yield from _seen(run)
    if run.deviations:
        yield from schedule_in_words(run)
    if run.events.end is not None and run.events.end.how == "returned":
        yield (
            f"in real time it takes about {duration_text(run.virtual_seconds)}, and the time in which the "
            f"program computes ({duration_text(end.seconds)} here)"
        )
    if end.written:
        more = f" and {len(end.written) - _FILES} more" if len(end.written) > _FILES else ""
        written = (str(folder / path) if folder is not None else path for path in end.written[:_FILES])
        yield f"it wrote {', '.join(written)}{more}"
    yield f"to repeat it: {run.replay}"


def _shown(run: Run[ProgramEnd], end: ProgramEnd) -> Iterator[Verdict]:
    """The verdicts that say something: of a program that failed, or did nothing, only those that failed."""
    brief = end.failed or not run.events.of("arrived")
    for verdict in run.verdicts.values():
        if verdict.passed is False or not (brief or (verdict.name == "hosts" and verdict.passed is None)):
            yield verdict


def _failed(run: Run[ProgramEnd], end: ProgramEnd) -> Iterator[str]:
    if isinstance(end.exit, str):
        yield f"the program failed: it called sys.exit({shortened(end.exit, _LONGEST_ERROR)!r})"
    elif end.exit:
        yield f"the program failed: its exit status is {end.exit}"
    elif run.error is not None:
        yield f"the program failed: {shortened(error_text(run.error), _LONGEST_ERROR)}"
    if not run.events.of("arrived"):
        yield "it had sent no request by then"


def _idle() -> Iterator[str]:
    yield "the program sent no request to a provider, so nothing was rehearsed"
    yield "if it needs arguments, give them behind `--`: wavetank rehearse SCRIPT -- ARGUMENTS"
    yield (
        "if its work is behind `if __name__ == '__main__'` of another module, or in a function, name that: "
        "-m MODULE or module:function"
    )


def _seen(run: Run[ProgramEnd]) -> Iterator[str]:
    """What is no error, and still worth a look."""
    yield from also_seen(run.events).values()
    if run.events.of("arrived") and (unmet := missed(run.events)):
        yield f"the run says nothing about part of the scenario: {', '.join(unmet)}"
