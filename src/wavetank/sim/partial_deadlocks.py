"""Which tasks can never go on, although others still do.

A task is taken for stuck until another is found that can wake it: one that reaches what it
waits for and is not stuck, or, for one that waits for other tasks or for the owner of a lock,
those tasks themselves. What is left waits for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from .await_chain import Chain, Suspended, chain_of
from .primitive_facts import children_of, gathered, owner_of, statistics_of
from .wakeup_reachability import Reach

_ENDED: Final = -1
_UNKNOWN: Final = -2
_LEAVES_A_GROUP: Final = ("__aexit__", "_aexit", "_nested_child_finished")


def stuck(tasks: Sequence[Suspended]) -> list[Suspended]:
    """The tasks that no other task can wake any more, in the order given."""
    places = {id(task.task): number for number, task in enumerate(tasks)}
    awaited = [_awaited(chain_of(task.coro), places) for task in tasks]
    dead = {number: None for number, task in enumerate(tasks) if not task.can_run}
    reach = Reach(tasks)
    while gone := [
        *(number for number in dead if not _is_dead(awaited[number], dead)),
        *reach.woken([number for number in dead if awaited[number] is None], dead),
    ]:
        for number in gone:
            del dead[number]
    return [tasks[number] for number in dead]


def out_of_reach(tasks: Sequence[Suspended]) -> list[Suspended]:
    """The tasks that wait for what only those who wait for it can reach."""
    judged = [number for number, task in enumerate(tasks) if not task.can_run and _waits_for_a_thing(task)]
    reach = Reach(tasks)
    waiting: dict[int, list[int]] = {}
    for number in judged:
        for source in reach.sources(number)[:1]:
            waiting.setdefault(source, []).append(number)
    found = [number for group in waiting.values() if not reach.woken(group, group) for number in group]
    return [tasks[number] for number in sorted(found)]


def _waits_for_a_thing(task: Suspended) -> bool:
    """Whether it waits on a primitive or a future of the program, and not on tasks."""
    chain = chain_of(task.coro)
    is_named = chain.inner is not None or not chain.engine
    return is_named and _awaited(chain, {}) is None


def _is_dead(awaited: tuple[int, ...] | None, dead: dict[int, None]) -> bool:
    return awaited is None or any(number == _ENDED or number in dead for number in awaited)


def _awaited(chain: Chain, places: dict[int, int]) -> tuple[int, ...] | None:
    """The places of the tasks that a task waits for, all of them; `None` if it waits for something else."""
    for frame in chain.engine:
        if frame.f_code.co_name in _LEAVES_A_GROUP and "self" in frame.f_locals:
            children = children_of(frame.f_locals["self"])
            if children is not None:
                return tuple(places.get(id(child), _UNKNOWN) for child in children)
    owner = owner_of(chain.resource, statistics_of(chain.resource))
    if owner is not None:
        return (_ENDED if owner.ended else places.get(owner.who, _UNKNOWN),)
    future = chain.future()
    tasks = [future] if isinstance(future, asyncio.Task) else gathered(future)
    tasks = [task for task in tasks if isinstance(task, asyncio.Task)]
    return tuple(places.get(id(task), _UNKNOWN) for task in tasks) if tasks else None
