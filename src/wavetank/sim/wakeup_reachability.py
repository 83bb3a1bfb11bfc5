"""Who can still wake a blocked task: trial deletion, as the garbage collector does it.

Take a set of blocked tasks for dead. Whatever is referred to by nothing but them, and by what
only they refer to, is out of everybody's reach; an object with one more reference than can
be accounted for is within reach, and so is all it leads to. That is sound no matter who holds the
reference: a frame, a timer, another thread, an extension in C.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import weakref
from collections import deque
from collections.abc import Container, Iterable, Sequence
from types import CodeType, ModuleType
from typing import Any, Final, final

from .await_chain import Suspended, await_chain, chain_of
from .primitive_facts import shared_state

MOST_OBJECTS: Final = 20_000
"""So many objects are looked at; what lies beyond counts as within everybody's reach."""

_NOT_FOLLOWED: Final = (type, ModuleType, CodeType, asyncio.AbstractEventLoop, asyncio.Task)
_PACKAGE: Final = __name__.partition(".")[0]
_ROOMS: Final = tuple(
    f"{_PACKAGE}.{room}" for room in ("sim", "tank", "seams", "provider", "patches", "events")
)


@final
class Reach:
    """The objects around some blocked tasks, and which of them refers to which."""

    def __init__(self, tasks: Sequence[Suspended]) -> None:
        self._nodes: list[Any] = [object()]  # the first one is referred to only by this list
        self._index: dict[int, int] = {}
        self._owner: dict[int, int] = {}
        self._edges: list[list[int]] = [[]]
        self._sources = [self._enter(number, task) for number, task in enumerate(tasks)]
        self._follow()
        self._references = self._count()

    def sources(self, number: int) -> tuple[int, ...]:
        """What has to be touched to wake the task with this place in the list; empty if that is not known."""
        return self._sources[number]

    def woken(self, numbers: Iterable[int], dead: Container[int]) -> list[int]:
        """Those of `numbers` that any object but the `dead` can wake."""
        reached = self._reached(dead)
        return [
            number
            for number in numbers
            if not self._sources[number] or any(source in reached for source in self._sources[number])
        ]

    # -- the objects -----------------------------------------------------------------------

    def _enter(self, number: int, task: Suspended) -> tuple[int, ...]:
        self._owner[self._add(task.task)] = number
        for frame, part in await_chain(task.coro):
            if frame is not None:
                self._owner[self._add(part)] = number
        return tuple(dict.fromkeys(self._add(source) for source in _sources_of(task)))

    def _add(self, thing: object) -> int:
        place = self._index.get(id(thing))
        if place is None:
            place = self._index[id(thing)] = len(self._nodes)
            self._nodes.append(thing)
            self._edges.append([])
        return place

    def _follow(self) -> None:
        """Find what can be reached from the tasks, nearest first."""
        place = 1
        while place < len(self._nodes):
            if place in self._owner or _is_followed(self._nodes[place]):
                self._follow_one(place, gc.get_referents(self._nodes[place]))
            place += 1

    def _follow_one(self, place: int, referents: list[Any]) -> None:
        for one in referents:
            if id(one) in self._index or (len(self._nodes) < MOST_OBJECTS and gc.is_tracked(one)):
                self._edges[place].append(self._add(one))

    def _count(self) -> list[int]:
        """The references to each object, without this one's own."""
        base = 0
        counts: list[int] = []
        for node in self._nodes:
            count = sys.getrefcount(node)
            base = base or count
            counts.append(count - base)
        return counts

    # -- who reaches what ----------------------------------------------------------------------

    def _reached(self, dead: Container[int]) -> set[int]:
        counts = list(self._references)
        for place, edges in enumerate(self._edges):
            if place not in self._owner or self._owner[place] in dead:
                for other in edges:
                    counts[other] -= 1
        held = [place for place in range(1, len(counts)) if self._is_held(place, counts[place])]
        reached, found = set(held), deque(held)
        while found:
            for other in self._edges[found.popleft()]:
                if other not in reached and other not in self._owner:
                    reached.add(other)
                    found.append(other)
        return reached

    def _is_held(self, place: int, count: int) -> bool:
        """Whether somebody else holds it; to reach a task is to be able to cancel it, not to wake it."""
        return place not in self._owner and (count > 0 or weakref.getweakrefcount(self._nodes[place]) > 0)


def _sources_of(task: Suspended) -> Iterable[Any]:
    """What wakes a task: the library's objects in its chain, and the future at the end of it."""
    chain = chain_of(task.coro)
    if any(frame.f_code.co_name in ("sleep", "sleep_forever") for frame in chain.engine):
        return
    for frame in chain.engine:
        if "self" in frame.f_locals:
            yield frame.f_locals["self"]
            if (state := shared_state(frame.f_locals["self"])) is not None and gc.is_tracked(state):
                yield state
    if (future := chain.future()) is not None:
        yield future


def _is_followed(thing: object) -> bool:
    """Whether what a thing refers to is looked at: modules, the engine and the fake lead everywhere."""
    if isinstance(thing, _NOT_FOLLOWED):
        return False
    if type(thing) is dict:
        return "__builtins__" not in thing and "__build_class__" not in thing
    return isinstance(thing, asyncio.Future) or not type(thing).__module__.startswith(_ROOMS)
