"""Let what a run keeps in sets iterate in the order it was made, whatever its addresses.

anyio keeps the tasks and child scopes of a scope in sets, executors their threads, and
`concurrent.futures` what it waits for, and `asyncio.as_completed` its coroutines; hashed by address
they come in another order in every run.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from asyncio import events
from collections.abc import Callable, Iterator
from concurrent.futures import _base
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from typing import Any, Final

from anyio._backends import _asyncio as backend

from ..sim.asyncio_handles import CountedTask
from ..sim.asyncio_loop import SimulatedLoop
from ..sim.private_names import require
from ..sim.ready_queue import DELIVERY
from ..sim.scheduler import Scheduler
from .attributes import replaced

for _owner, _name in ((backend, "CancelScope"), (backend, "_task_states"), (backend.CancelScope, DELIVERY)):
    require(
        _owner,
        _name,
        of=f"anyio {version('anyio')}",
        supported="install a version of anyio that wavetank supports (4.12 to 4.16)",
    )


class CountedScope(backend.CancelScope):
    """A cancel scope that hashes by its creation number."""

    __slots__ = ("_number",)

    def __init__(self, *args: Any, **options: Any) -> None:
        loop = events._get_running_loop()
        self._number = loop.next_number() if isinstance(loop, SimulatedLoop) else object.__hash__(self)
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number


_NUMBER: Final = "_wavetank_number"


def _hash(thing: object) -> int:
    number: int = vars(thing).get(_NUMBER, 0)
    return number or object.__hash__(thing)


@contextmanager
def creation_order(scheduler: Scheduler) -> Iterator[None]:
    """Let anyio's cancel scopes, and threads and executor futures of the run, hash by creation number."""
    with ExitStack() as stack:
        stack.enter_context(replaced(backend, "CancelScope", CountedScope))
        for owner, kind in ((threading.Thread, "thread"), (_base.Future, "future")):
            init = _counted(vars(owner)["__init__"], kind, scheduler)
            stack.enter_context(replaced(owner, "__init__", init))
            stack.enter_context(replaced(owner, "__hash__", _hash))
        stack.callback(_forget_dropped_tasks)
        yield


def _in_the_order_given(original: Callable[..., Any]) -> Callable[..., Any]:
    """`asyncio.as_completed` makes tasks of a set of coroutines; here they are made in the order given.

    Before Python 3.13 it is a generator: nothing is made until its first value is asked for.
    """

    def tasks_of(fs: Any) -> Any:
        loop = events._get_running_loop()
        if not isinstance(loop, SimulatedLoop) or asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
            return fs
        return [asyncio.ensure_future(one, loop=loop) for one in dict.fromkeys(fs)]

    @functools.wraps(original)
    def as_completed(fs: Any, *, timeout: float | None = None) -> Any:
        return original(tasks_of(fs), timeout=timeout)

    @functools.wraps(original)
    def generated(fs: Any, *, timeout: float | None = None) -> Any:
        yield from original(tasks_of(fs), timeout=timeout)

    return generated if inspect.isgeneratorfunction(original) else as_completed


AS_COMPLETED: Final = (asyncio.as_completed, _in_the_order_given(asyncio.as_completed))
"""The original and what stands in for it in a run."""


def _forget_dropped_tasks() -> None:
    """Let go of tasks that their loop gave up: anyio keeps what it knows of a task until the task is done."""
    for task in list(backend._task_states):
        if isinstance(task, CountedTask) and task.get_loop().is_closed():
            del backend._task_states[task]


def _counted(init: Callable[..., None], kind: str, scheduler: Scheduler) -> Callable[..., None]:
    """Number what is made in the run before it is first hashed."""

    def counted(self: object, *args: Any, **options: Any) -> None:
        if scheduler.is_mine():
            vars(self)[_NUMBER] = scheduler.number(kind)
        init(self, *args, **options)

    return counted
