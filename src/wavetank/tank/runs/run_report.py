"""The report of a failed run: why, in which order of its steps, what happened last, how to repeat it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from ...checks.history import dated
from ...checks.liveness import kind_of_hang
from ...checks.traced import traced
from ...checks.verdict import failed_of, in_words
from ...text import error_text
from ..notes import beginning_of, interleaving_of

if TYPE_CHECKING:
    from .finished_run import Run

_LAST: Final = 8
_DEVIATIONS: Final = 12


def report(run: Run[Any], *, full: bool = False) -> str:
    """All of it, as text; empty for a run that passed."""
    return "\n".join(_lines(run, full)) if run.kind is not None else ""


def _lines(run: Run[Any], full: bool) -> Iterator[str]:
    yield from run.found
    failed = failed_of(run.verdicts.values())
    happened = beginning_of(run.events, run.verdicts.values(), run.passing)
    if run.found or not failed:
        yield from happened
        happened = ()
    if failed:
        yield in_words(failed, happened, full=full)
    elif run.error is not None:
        yield from _error_lines(run.error, run.hide)
    if run.outcomes.submitted:
        yield f"items: {run.outcomes}"
    yield from schedule_in_words(run)
    yield from interleaving_of(run.logs()[0], run.passing)
    if kind_of_hang(run.events) is None:  # else the verdict has them
        yield from traced(run.events)
    events = [event for event in run.events if event.kind != "traced"][-_LAST:]
    if events:
        yield f"the last {len(events)} of {len(run.events)} events:"
        yield from (f"  {dated(event, named=True)}" for event in events)
    yield f"to repeat it: {run.replay}"


def _error_lines(error: BaseException, hide: Callable[[str], str], indent: str = "") -> Iterator[str]:
    """An error, and what is in a group, without notes: one of them may be this very report."""
    yield f"{indent}{error_text(error, hide(str(error)))}"
    for each in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _error_lines(each, hide, indent + "  ")


def schedule_in_words(run: Run[Any]) -> Iterator[str]:
    """`FIFO order, except: …`, a line for each deviation."""
    deviations = run.deviations
    if not deviations:
        yield "schedule: plain FIFO order"
        return
    if len(deviations) == 1:
        yield f"schedule: FIFO order, except: {deviations[0]}"
        return
    yield "schedule: FIFO order, except:"
    yield from (f"  {each}" for each in deviations[:_DEVIATIONS])
    if len(deviations) > _DEVIATIONS:
        yield f"  and {len(deviations) - _DEVIATIONS} more"
