"""A budget is spent: was it a deadlock after all, of some tasks while others still ran?"""

from __future__ import annotations

from collections.abc import Sequence

from ..clock import format_duration
from .blocked import describe_tasks
from .chain import Suspended
from .errors import Deadlock, RunStopped
from .stuck import stuck


def looked_into(spent: RunStopped, tasks: Sequence[Suspended], *, now: int) -> RunStopped:
    """The same with what the tasks wait for and which can never go on; a `Deadlock` if `main` is one of them."""
    never = stuck(tasks)
    names = tuple(task.name for task in never)
    blocked = describe_tasks(tasks, never)
    if any(task.is_main for task in never):
        at = format_duration(now)
        headline = f"partial deadlock at {at}: {len(names)} task(s) wait for ever while others still run"
        return Deadlock(headline, blocked, stuck=names)
    spent.blocked, spent.stuck = blocked, names
    return spent
