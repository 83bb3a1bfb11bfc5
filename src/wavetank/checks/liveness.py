"""Does the program come to its end?"""

from __future__ import annotations

from typing import Final

from ..clock import format_duration
from ..events import ENDED, EventKind, EventLog, RunEnd
from ..text import counted
from .exactly_once import paid_for
from .history import fault_source
from .repetition import repetition
from .traced import traced
from .verdict import Verdict

NAME = "liveness"
_A_FLOW: Final = 100
"""Fewer steps in half a budget are the end of something, such as one long sleep."""

_SHOWN: Final = 10

_OUTCOMES: Final[tuple[EventKind, ...]] = ("completed", "failed", "cancelled")


def judge(log: EventLog) -> Verdict:
    """Fails on a deadlock, a livelock or an overrun; not judged when nothing could ever get through."""
    end = log.end
    if end is None:
        return Verdict(NAME, None, "the run has not ended")
    if end.how in ENDED:
        return Verdict(NAME, True, f"main came to its end at {format_duration(end.at)}")
    if end.how == "deadlock":
        evidence = end.spinning + _open_items(log) + _held(log) + end.blocked + traced(log)
        return Verdict(NAME, False, _deadlock(end), evidence)
    if not log.header.passable:
        return Verdict(NAME, None, "the scenario never lets a request through")
    return _budget_spent(log, end)


def kind_of_hang(log: EventLog) -> str | None:
    """`deadlock`, `livelock`, `overrun`; `None` if the run came to its end or no run could have."""
    end = log.end
    if end is None or end.how in ENDED:
        return None
    if end.how == "deadlock":
        return "deadlock"
    if not log.header.passable:
        return None
    if end.stuck:
        return "deadlock"
    if end.how == "cpu":
        return "overrun"
    return "livelock" if end.how == "steps" or _flowed_in_vain(log, end) else "overrun"


def _deadlock(end: RunEnd) -> str:
    at = format_duration(end.at)
    if end.spinning:
        return f"deadlock at {at}: a loop never lets time pass"
    if not end.stuck:
        return f"deadlock at {at}"
    names = ", ".join(map(repr, end.stuck[:_SHOWN])) + (", …" if len(end.stuck) > _SHOWN else "")
    return f"partial deadlock at {at}: {len(end.stuck)} task(s) wait for ever while others still run: {names}"


def _budget_spent(log: EventLog, end: RunEnd) -> Verdict:
    after = f"after {end.steps} steps, at {format_duration(end.at)}"
    kind = kind_of_hang(log)
    if kind == "deadlock":
        what = _deadlock(end)
    elif end.how == "steps":
        what = f"livelock: the budget of steps ended {after}, and they brought no outcome"
    elif end.how == "cpu":
        what = (
            f"overrun: the run was stopped {after}, because it computed for so long without an outcome. "
            "Time still passed, so this does not show that it would never end"
        )
    elif kind == "livelock":
        what = (
            f"livelock: the budget of virtual time ended {after}, and its second half brought no outcome "
            "and no item its first answer"
        )
    else:
        what = (
            f"overrun: the budget of virtual time ended {after}, before main did{_done(log)}. "
            "More virtual time: max_virtual_seconds, in pytest --llm-max-virtual-seconds"
        )
    pattern = repetition(log) if kind == "livelock" else ()
    evidence = (
        pattern
        + end.spinning
        + _open_items(log)
        + _held(log)
        + _tail_requests(log, end)
        + end.blocked
        + traced(log)
    )
    return Verdict(NAME, False, what, evidence)


def _flowed_in_vain(log: EventLog, end: RunEnd) -> bool:
    """Whether requests or steps flowed in the second half of the run's time, and nothing came of them.

    An outcome is something, and so is the first answer of an item: the program may report later.
    """
    late = [event for event in log.of("arrived") if event.at * 2 > end.at]
    if not late and end.late_steps < _A_FLOW:
        return False
    progress = [*(event.at for event in log.of(*_OUTCOMES)), *_first_answers(log).values()]
    return not any(at * 2 > end.at for at in progress)


def _first_answers(log: EventLog) -> dict[str, int]:
    """When each item got its first whole answer."""
    first: dict[str, int] = {}
    for event in log.of("delivered"):
        if event.item is not None and paid_for(event):
            first.setdefault(event.item, event.at)
    return first


def _done(log: EventLog) -> str:
    """How much of the work was done, in words."""
    items = {event.item for event in log.of("submitted")}
    if not items:
        return ""
    done = len(items & {event.item for event in log.of(*_OUTCOMES)})
    return f"; {done} of {counted(len(items), 'item')} had an outcome"


def _open_items(log: EventLog) -> tuple[str, ...]:
    done, answered = {event.item for event in log.of(*_OUTCOMES)}, _first_answers(log)
    still_open = list(dict.fromkeys(e.item for e in log.of("submitted") if e.item and e.item not in done))
    if not still_open:
        return ()
    shown = ", ".join(map(repr, still_open[:_SHOWN])) + (", …" if len(still_open) > _SHOWN else "")
    line = f"{len(still_open)} item(s) without an outcome: {shown}"
    if not (count := sum(item in answered for item in still_open)):
        return (line,)
    verb = "was" if count == 1 else "were"
    return (f"{line}; {count} of these {verb} answered, and not reported to the ledger",)


def _held(log: EventLog) -> tuple[str, ...]:
    """The requests whose answers the scenario's faults still hold."""
    at = log.end.at if log.end is not None else 0
    held = [
        event
        for event in log.of("held", "left")
        if event.fault is not None and event.request is not None and event.reason != "connection-refused"
    ]
    held = [event for event in held if event.kind == "held" or event.at == at]  # a stopped client hangs up
    lines = tuple(
        f"request {event.request} (item {event.item!r}) is held by "
        f"{fault_source(event.fault or 0)} ({event.reason})"
        for event in held[:_SHOWN]
    )
    return (*lines, f"and {len(held) - _SHOWN} more") if len(held) > _SHOWN else lines


def _tail_requests(log: EventLog, end: RunEnd) -> tuple[str, ...]:
    if end.how == "steps":
        return (f"{len(log.of('arrived'))} request(s) in the whole run",)
    tail = [event for event in log.of("arrived") if event.at * 2 > end.at]
    return (f"{len(tail)} request(s) in the second half of the run",)
