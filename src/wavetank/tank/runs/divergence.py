"""Does a run repeat? If not: where it first differs, and what the cause may be."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import zip_longest
from typing import Final

from ...checks.history import dated
from ...clock import format_duration
from ...events import EventLog
from ...sim.choices import Recorder
from ...sim.policies.plan import Plan
from ...sim.policies.replay import Replay
from ...sim.token import Schedule, checksum
from ..failure import Diverged
from .trial_runs import Trial, TrialMaker

REPEATS: Final = 2

_PLACE: Final = re.compile(
    rb'\([^()\s]*:\d+\)|(?<=acquired at )[^\s";]*:\d+|"file":"(?:[^"\\]|\\.)*",?|"line":\d+,?'
)
"""A place such as `main (rows.py:12)`, and what an event has of one."""

_CAUSES: Final = (
    "The program itself differs from run to run: look for the order of a set, id() or hash() of an object, "
    "a clock that was read before the run, random numbers of a generator of its own without a seed, or "
    "state that one run leaves to the next"
)

_TRACED: Final = b'"kind":"traced"'


def outcome_of(log: EventLog) -> int:
    """What a token keeps of an event log: no traces, and no files and lines, as any edit changes those."""
    lines = log.to_ndjson(waits=False).splitlines(keepends=True)
    return checksum(_PLACE.sub(b"", b"".join(line for line in lines if _TRACED not in line)))


def ending_as(schedule: Schedule, trials: TrialMaker, trial: Trial) -> Schedule:
    """The schedule of this run, with all that shows whether a repetition comes to the same end."""
    return replace(
        schedule,
        program=trials.program,
        outcome=outcome_of(trial.log),
        cpu_spent_at=trial.end.cpu_spent_at,
    )


def repeated(trials: TrialMaker, failed: Trial) -> None:
    """Repeat a failing run, twice.

    Raises:
        Diverged: a repetition took another course; the text names the first difference.
    """
    first = failed.stopped_early or failed
    for _ in range(REPEATS):
        plan = Plan(Replay(first.deviations), first.level, "replay", first.end.cpu_spent_at)
        again = trials.run(plan, short_budget=True)
        where = _first_difference(first, again)
        if where is not None:
            raise Diverged(
                f"a failing schedule does not repeat. It failed with:\n{described(failed)}\n"
                f"Repeated, {where}.\n{_CAUSES}."
            )


def failed_only_later(failed: Trial) -> Diverged:
    """What to raise when plain FIFO order fails after all, in which the first run of the search passed."""
    return Diverged(
        f"plain FIFO order passed in the first run of the search, and fails in it by now. It failed with:\n"
        f"{described(failed)}\n"
        "Each run must find what the first one found: make inside main what the program changes, "
        "such as a module's variables, a cache, or a fixture of the test."
    )


def passes_here(number: int, failed: str) -> Diverged:
    """What to raise when a schedule fails in one process of a search and passes in another."""
    return Diverged(
        f"schedule {number + 1} of the search fails in one process and not in another. It failed with:\n"
        f"{failed}\n{_CAUSES}."
    )


def described(failed: Trial) -> str:
    """What failed in a run, in a line."""
    run = failed.run
    bad = [str(verdict) for verdict in run.verdicts.values() if verdict.passed is False]
    return bad[0] if bad else run.hide(repr(run.error))


def _first_difference(one: Trial, other: Trial) -> str | None:
    if one.record is not None and other.record is not None:
        differs = _first_choice(one.record, other.record)
        if differs is not None:
            return differs
    if one.log.to_ndjson() == other.log.to_ndjson():
        return None
    for number, (was, now) in enumerate(zip_longest(one.log, other.log), start=1):
        if was != now:
            shown = [dated(event, named=True) if event is not None else "nothing" for event in (was, now)]
            return f"event {number} differs: first «{shown[0]}», then «{shown[1]}»"
    return f"the end differs: first {_ended(one)}, then {_ended(other)}"


def _ended(trial: Trial) -> str:
    end = trial.log.end
    if end is None:
        return "none"
    how = f"{end.how} {end.error}" if end.error else end.how
    return f"«{how}, at {format_duration(end.at)} after {end.steps} steps»"


def _first_choice(one: Recorder, other: Recorder) -> str | None:
    places = zip_longest(zip(one.kinds, one.widths, strict=True), zip(other.kinds, other.widths, strict=True))
    for place, (was, now) in enumerate(places):
        if was != now:
            return f"choice {place} differs: first {_choice(was)}, then {_choice(now)}"
    went = zip(one.went, other.went, strict=True)
    if any(was != now for was, now in went):
        return "another task goes at some choice: tasks are not made in the same order"
    return None


def _choice(choice: tuple[str, int] | None) -> str:
    return f"{choice[1]} options ({choice[0]})" if choice is not None else "none"


def on_course(trials: TrialMaker, schedule: Schedule, *, twice: bool = True) -> Trial:
    """The run that a token stands for; one that took another course is made `twice`, to say why.

    Raises:
        Diverged: it took another course; the text says whether the program differs from run to run.
    """
    trial = _replayed(trials, schedule)
    where = _off_course(trial, schedule)
    if where is None:
        return trial
    differs = _first_difference(trial, _replayed(trials, schedule)) if twice else None
    why = (
        "If the code, its input or its environment (variables, versions of packages) has changed: "
        "search again"
        if differs is None
        else f"Repeated, {differs}.\n{_CAUSES}"
    )
    raise Diverged(f"the run took another course than the one the token was made from: {where}. {why}.")


def _replayed(trials: TrialMaker, schedule: Schedule) -> Trial:
    plan = Plan(Replay(schedule.deviations), schedule.level, "replay", schedule.cpu_spent_at)
    return trials.run(plan, narrated=True)


def _off_course(trial: Trial, schedule: Schedule) -> str | None:
    """Where a run left the course of the one that the token was made from."""
    assert trial.record is not None
    replay = Replay(schedule.deviations)
    for kind, width in zip(trial.record.kinds, trial.record.widths, strict=True):
        replay.choose(kind, width, ())  # once more, as the run may have been made in another process
    if replay.diverged is not None:
        return replay.diverged
    if replay.unused:
        return f"the run ended before {replay.unused} of the schedule's deviations"
    if outcome_of(trial.log) != schedule.outcome:
        return "its event log differs behind the last deviation"
    return None
