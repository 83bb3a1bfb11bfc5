"""What asyncio, anyio and trio know of their own primitives: fill, owner, children, deadline.

Much of it is private to them. Whatever a version does not have is left out of a report and
proves nothing.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple, final

_STATISTICS: Final = (
    "tasks_waiting",
    "current_buffer_used",
    "max_buffer_size",
    "open_send_streams",
    "open_receive_streams",
    "open_send_channels",
    "open_receive_channels",
)


def statistics_of(primitive: object) -> Any:
    """What anyio and trio report of their primitives; `None` for others."""
    statistics = getattr(primitive, "statistics", None)
    try:
        return statistics() if callable(statistics) else None
    except AssertionError:  # anyio has no words for a lock whose owner has ended
        return None


def details_of(facts: object) -> list[str]:
    """The numbers of a primitive that a report shows."""
    return [f"{name}={getattr(facts, name)}" for name in _STATISTICS if hasattr(facts, name)]


def fill_of(primitive: Any, facts: Any) -> str:
    """`full 10/10` and the like for what can be full or empty, else nothing."""
    if hasattr(facts, "max_buffer_size"):
        return _fill(facts.current_buffer_used, facts.max_buffer_size)
    if hasattr(facts, "borrowed_tokens"):
        return f"{facts.borrowed_tokens:g}/{facts.total_tokens:g} borrowed"
    if isinstance(primitive, asyncio.Queue):
        fill = _fill(primitive.qsize(), primitive.maxsize or math.inf)
        unfinished = getattr(primitive, "_unfinished_tasks", 0) - primitive.qsize()
        return f"{fill}, {unfinished} taken without task_done" if unfinished > 0 else fill
    if isinstance(primitive, asyncio.Barrier):
        return f"{primitive.n_waiting}/{primitive.parties}"
    return ""


def _fill(used: float, room: float) -> str:
    word = "full " if used >= room > 0 else "empty " if not used else ""
    return f"{word}{used:g}" + (f"/{room:g}" if room != math.inf else "")


def children_of(group: Any) -> list[Any] | None:
    """The tasks that the end of a task group or nursery waits for; `None` for anything else."""
    if isinstance(group, asyncio.TaskGroup) or hasattr(group, "_on_completed_fut"):
        return [child for child in group._tasks if not child.done()]
    nursery = getattr(group, "_nursery", group)
    children = getattr(nursery, "child_tasks", None)
    return None if children is None else list(children)


def errors_of(group: Any) -> list[BaseException]:
    """The errors of tasks that a group or nursery raises when all its tasks have ended."""
    for held in ("_errors", "_exceptions", "_pending_excs"):  # asyncio's, anyio's on asyncio, trio's
        found = getattr(getattr(group, "_nursery", group), held, None)
        if isinstance(found, list):
            return [error for error in found if isinstance(error, Exception)]
    return []


def gathered(future: object) -> list[Any]:
    """What a `gather` still waits for."""
    return [one for one in getattr(future, "_children", ()) if not one.done()]


@final
class Owner(NamedTuple):
    """The only task that can release a lock; `who` is its identity, to be compared only."""

    who: int
    name: str
    ended: bool = False


def owner_of(primitive: object, facts: Any) -> Owner | None:
    """Who holds a lock of anyio or trio."""
    task = getattr(primitive, "_owner_task", None)
    if isinstance(task, asyncio.Task):
        return Owner(id(task), task.get_name(), task.done())
    owner = getattr(facts, "owner", None)
    return None if owner is None else Owner(getattr(owner, "id", id(owner)), owner.name)


def lock_of(condition: object) -> object:
    """The lock of an asyncio condition."""
    return getattr(condition, "_lock", None)


def limiter_of(limiter: object) -> object:
    """The limiter of trio that one of anyio stands for on trio."""
    return getattr(limiter, "_CapacityLimiter__original", None)


def shared_state(primitive: object) -> object:
    """What both ends of a memory stream or channel share."""
    return getattr(primitive, "_state", None)


def tasks_to_cancel(timer: Any) -> Iterator[Any]:
    """The tasks that a timer of asyncio would cancel when it fires."""
    callback = getattr(timer, "_callback", None)
    for thing in (getattr(callback, "__self__", None), *(getattr(timer, "_args", None) or ())):
        if isinstance(thing, asyncio.Task):
            yield thing
        elif hasattr(thing, "_child_scopes"):
            yield from tasks_in_scope(thing)
        elif isinstance(getattr(thing, "_task", None), asyncio.Task):
            yield thing._task


def tasks_in_scope(scope: Any) -> Iterator[Any]:
    """The tasks in a cancel scope of anyio on asyncio, and in the scopes inside it."""
    if scope._host_task is not None:
        yield scope._host_task
    yield from scope._tasks
    for child in scope._child_scopes:
        yield from tasks_in_scope(child)


def due_in_trio(deadlines: Iterable[tuple[float, int, Any]]) -> set[int]:
    """The identities of the tasks that a deadline of trio would cancel, from its heap of deadlines."""
    return {
        id(task)
        for deadline, _, scope in deadlines
        if deadline == scope._registered_deadline
        for task in tasks_under(scope._cancel_status)
    }


def tasks_under(status: Any) -> Iterator[Any]:
    """The tasks in a cancel scope of trio, and in the scopes inside it, by the status of that."""
    if status is not None:
        yield from status._tasks
        for child in status._children:
            yield from tasks_under(child)
