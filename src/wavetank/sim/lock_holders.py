"""Who holds what others wait for.

anyio and trio know the owner of a lock. The locks of asyncio and all semaphores do not; but
a task inside `async with lock:` has the lock's `__aexit__` among the references of its frame.
"""

from __future__ import annotations

import _thread
import asyncio
import gc
import inspect
from collections.abc import Iterator, Sequence
from types import BuiltinMethodType, FrameType, MethodType
from typing import Any, Final

from .await_chain import Suspended, await_chain, chain_of
from .lock_records import holders_of
from .primitive_facts import limiter_of, lock_of, owner_of, statistics_of

_REAL_LOCK: Final = type(_thread.allocate_lock())
_ENTERS: Final = ("__aenter__", "acquire")
_DEEPEST: Final = 4
_NAMED: Final = 5


def held_by(resource: object, tasks: Sequence[Suspended]) -> str:
    """`held by 'b'` or `borrowed by 'b', 'c'`, as far as that can be known; else nothing."""
    holding = holders_of(resource) or holders_of(limiter_of(resource))
    if holding:
        alive = {task.name for task in tasks}
        lines = [f"{one.describe()}{'' if one.who in alive else ' (it has ended)'}" for one in holding]
        return "held by " + "; ".join(lines[:_NAMED]) + ("; …" if len(lines) > _NAMED else "")
    facts = statistics_of(resource)
    owner = owner_of(resource, facts)
    if owner is not None:
        name = next((task.name for task in tasks if id(task.task) == owner.who), owner.name)
        return f"held by {name!r}" + (", which has ended" if owner.ended else "")
    borrowers = getattr(facts, "borrowers", None)
    if borrowers is not None:
        return _listed("borrowed by", _names(borrowers, tasks))
    if not _is_taken(resource):
        return ""
    holders = [task.name for task in tasks if _is_inside(task, resource)]
    if isinstance(resource, asyncio.Lock) and len(holders) != 1:
        return ""
    return _listed("held by", holders)


def real_locks_held(tasks: Sequence[Suspended]) -> Iterator[tuple[str, FrameType]]:
    """The tasks that wait inside `with lock:` on a lock of `threading` itself, and the frames of it."""
    for task in tasks:
        for frame, part in await_chain(task.coro):
            if frame is not None and any(_is_real_lock_exit(one) for one in gc.get_referents(part)):
                yield task.name, frame


def _is_real_lock_exit(one: object) -> bool:
    return (
        isinstance(one, BuiltinMethodType) and one.__name__ == "__exit__" and type(one.__self__) is _REAL_LOCK
    )


def _listed(what: str, names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:_NAMED])) + (", …" if len(names) > _NAMED else "")
    return f"{what} {shown}" if names else ""


def _names(borrowers: Sequence[Any], tasks: Sequence[Suspended]) -> list[str]:
    """The borrowers among the tasks, in the order of the tasks; anything may borrow on behalf of others."""
    borrowing = {id(one) for one in borrowers}
    return [task.name for task in tasks if id(task.task) in borrowing]


def _is_taken(resource: Any) -> bool:
    if callable(locked := getattr(resource, "locked", None)):
        return bool(locked())
    return getattr(resource, "value", None) == 0


def _is_inside(task: Suspended, resource: object) -> bool:
    """Whether the task is in the body of an `async with` on the resource, or on its condition."""
    entered = sum(_entries(part, resource, 0) for frame, part in await_chain(task.coro) if frame is not None)
    chain = chain_of(task.coro)
    inner = chain.inner
    if inner is not None and (chain.resource is resource or lock_of(chain.resource) is resource):
        entered -= inner.f_code.co_name in (*_ENTERS, "wait", "wait_for")
    return entered > 0


def _entries(part: object, resource: object, depth: int) -> int:
    """How many exits of the resource a suspended coroutine or generator has still before it."""
    count = 0
    for manager in _managers(part):
        if manager is resource or lock_of(manager) is resource:
            count += 1
        driven = getattr(manager, "gen", None)
        if depth < _DEEPEST and (inspect.isasyncgen(driven) or inspect.isgenerator(driven)):
            count += _entries(driven, resource, depth + 1)
    return count


def _managers(part: object) -> Iterator[object]:
    for one in gc.get_referents(part):
        if isinstance(one, MethodType) and one.__func__.__name__ in ("__aexit__", "__exit__"):
            yield one.__self__
