"""What was traced of the program's primitives, a line for each, for a report."""

from __future__ import annotations

from collections import Counter
from typing import Final

from ..clock import format_duration
from ..events import Event, EventLog

_LINES: Final = 20
_ACTIONS: Final = 4
_WAITERS: Final = 5


def traced(log: EventLog) -> tuple[str, ...]:
    """The latest of each kind that happened to each primitive, and who waits for it.

    `cooldown: set at 1.2s by 'worker#3', cleared at 1.5s by 'worker#1'; 'worker#2' waits since 1.6s`
    """
    return log.derived(_lines)


def _lines(log: EventLog) -> tuple[str, ...]:
    found: dict[str, list[Event]] = {}
    for event in log.of("traced"):
        found.setdefault(event.primitive or "", []).append(event)
    # What somebody waits for comes first; the rest in the order in which it was made or given.
    order = sorted(found, key=lambda name: found[name][-1].action != "waits")
    lines = [_line(name, found[name]) for name in order]
    more = (f"… {len(lines) - _LINES} more traced primitives",) if len(lines) > _LINES else ()
    return (*lines[:_LINES], *more)


def _line(name: str, events: list[Event]) -> str:
    waits = [event for event in events if event.action == "waits"]
    latest: dict[str, Event] = {}
    for event in events:
        if (action := event.action or "") != "waits":
            latest.pop(action, None)  # so that the latest of all stands last
            latest[action] = event
    # An ended wait shows in what came of it.
    shown = [event for event in latest.values() if event.action != "waited"] or list(latest.values())
    counts = Counter(event.action for event in events)
    done = ", ".join(_latest(event, counts[event.action]) for event in shown[-_ACTIONS:])
    waiting = ", ".join(
        f"{event.task!r} waits since {format_duration(event.since or 0)}" for event in waits[:_WAITERS]
    )
    more = f" and {len(waits) - _WAITERS} more wait" if len(waits) > _WAITERS else ""
    size = next(
        (event.size for event in reversed(events) if event.size is not None and event.action != "task_done"),
        None,
    )
    label = name if size is None else f"{name} ({size})"
    return f"{label}: {'; '.join(part for part in (done, waiting + more) if part)}"


def _latest(event: Event, count: int) -> str:
    times = "" if count == 1 else f" {count} times, last"
    return f"{event.action}{times} at {format_duration(event.at)} by {event.task!r}"
