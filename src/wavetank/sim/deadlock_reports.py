"""What is said of a deadlock: of the whole run, or of some tasks while others still run.

The latter is looked for when a budget is spent, and now and then before that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from ..clock import HOUR, format_duration
from .await_chain import Suspended, place_of
from .blocked_tasks import describe_tasks
from .errors import Deadlock, RunStopped
from .partial_deadlocks import stuck
from .refused_io import LEAVE_OUT

FIRST_LOOK: Final = HOUR
"""The instant of the first look at a run that goes on; each further one is at double the instant."""

LASTING: Final = 3 * HOUR
"""So long `main` has to be stuck before a run is stopped for it: others may yet cancel it."""


def deadlock(
    tasks: Sequence[Suspended], threads: tuple[str, ...], outsiders: Sequence[str], *, now: int
) -> Deadlock:
    """Nothing can run: describes the tasks, the blocked threads, and threads that are not the run's."""
    headline = (
        f"deadlock at {format_duration(now)}: nothing can run, no timer is set, "
        f"{len(tasks)} task(s) and {len(threads)} thread(s) blocked"
    )
    beside = tuple(
        f"  thread {name!r} is alive and none of the run's: if the program waits for it, start it inside "
        f"the test, or {LEAVE_OUT}"
        for name in outsiders
    )
    return Deadlock(headline, describe_tasks(tasks) + threads + beside)


def with_stuck_tasks(spent: RunStopped, tasks: Sequence[Suspended], *, now: int) -> RunStopped:
    """What to stop a run for whose budget is spent: a `Deadlock` if `main` could never have gone on."""
    never = stuck(tasks)
    if any(task.is_main for task in never):
        return _partial(tasks, never, now)
    spent.blocked = describe_tasks(tasks, never)
    spent.stuck = tuple(task.name for task in never)
    return spent


def _partial(tasks: Sequence[Suspended], never: Sequence[Suspended], now: int) -> Deadlock:
    at = format_duration(now)
    headline = f"partial deadlock at {at}: {len(never)} task(s) wait for ever while others still run"
    return Deadlock(headline, describe_tasks(tasks, never), stuck=tuple(task.name for task in never))


@final
class StuckTaskMonitor:
    """Looks at a run now and then, so that a ticker does not keep a deadlock up for the whole budget."""

    __slots__ = ("_seen", "_since", "next_look")

    def __init__(self) -> None:
        self.next_look = FIRST_LOOK
        """The instant from which on it is time to look."""
        self._seen: tuple[tuple[str, str], ...] = ()
        self._since = 0

    def look(self, tasks: Sequence[Suspended], *, now: int) -> Deadlock | None:
        """A partial deadlock, if the same tasks, and `main` among them, have been stuck for long."""
        while self.next_look <= now:
            self.next_look *= 2
        never = stuck(tasks)
        seen = tuple((task.name, place_of(task.coro)) for task in never)
        if seen != self._seen:
            self._seen, self._since = seen, now
        if now - self._since < LASTING or not any(task.is_main for task in never):
            return None
        return _partial(tasks, never, now)

    def __repr__(self) -> str:
        return f"<StuckTaskMonitor until {format_duration(self.next_look)}>"
