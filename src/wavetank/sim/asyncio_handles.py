"""What a loop in virtual time holds: tasks and futures that know their number, and handles.

A handle is made for every step of every task, so it is made as cheaply as can be.
"""

from __future__ import annotations

import asyncio
import weakref
from asyncio import current_task, events
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, final

from .processes import Process, current_process, named_with_process, process_of
from .task_names import called
from .unseen_errors import NO_CONTEXT, ended

if TYPE_CHECKING:
    from .asyncio_loop import SimulatedLoop
    from .step_watch import StepWatch


@final
class CountedTask(asyncio.Task[Any]):
    """A task that hashes by its creation number, so that sets of tasks iterate in creation order."""

    def __init__(self, coro: Any, *, loop: SimulatedLoop, name: str | None = None, **options: Any) -> None:
        self._number = loop.next_number()
        self.number = loop.next_task()
        """Which of the loop's tasks it is, from 1."""
        self._called: str | None = None
        context: Context | None = options.get("context")
        self.process: Process | None = current_process.get() if context is None else process_of(context)
        """The simulated process that it belongs to."""
        parent = current_task(loop) if loop.is_running() else None
        self._parent = None if parent is None else weakref.ref(parent)
        name = f"task-{self._number}" if name is None else name
        super().__init__(coro, loop=loop, name=name, **options)
        self.add_done_callback(ended, context=NO_CONTEXT)

    def called(self) -> str:
        """What reports call it; worked out once for each name it is given."""
        if self._called is None:
            given = self.get_name()
            own = "" if given == f"task-{self._number}" else given
            name = called(own, self.get_coro(), self.number)
            self._called = named_with_process(self.process, name)
        return self._called

    def parent(self) -> asyncio.Task[Any] | None:
        """The task that has started it, if that is there still."""
        return None if self._parent is None else self._parent()

    def cancel(self, msg: Any = None) -> bool:
        if not self.done():
            self.get_loop().scheduler.cancelled(self)  # type: ignore[attr-defined]
        return super().cancel(msg)

    def set_name(self, value: object, /) -> None:
        super().set_name(value)
        self._called = None

    def __hash__(self) -> int:
        return self._number


def called_in_reports(task: asyncio.Task[Any]) -> str:
    """What reports call a task."""
    return task.called() if isinstance(task, CountedTask) else task.get_name()


def name_of_running_task() -> str | None:
    """What reports call the task that runs on this thread's event loop, if one does."""
    loop = events._get_running_loop()
    task = None if loop is None else current_task(loop)
    if type(task) is CountedTask:
        return task._called or task.called()
    return None if task is None else task.get_name()


def name_of_callback(callback: object) -> str:
    """What reports call a plain callback."""
    return f"callback {getattr(callback, '__qualname__', type(callback).__name__)}"


def can_run(task: asyncio.Task[Any]) -> bool:
    """Whether a step of the task is due, or under way."""
    awaited = getattr(task, "_fut_waiter", None)
    return awaited is None or awaited.done() or getattr(task.get_coro(), "cr_running", False)


def watched_step(handle: events.Handle, watch: StepWatch) -> Callable[[], None]:
    """Say that a step is about to be taken; returns what is to be called after it."""
    callback: Any = handle._callback  # type: ignore[attr-defined]
    owner = getattr(callback, "__self__", None)
    if not isinstance(owner, asyncio.Task):
        return lambda: watch.after_callback(name_of_callback(callback), callback)
    called_so, coro = called_in_reports(owner), owner.get_coro()
    watch.before_task(coro)
    return lambda: watch.after_task(called_so, coro)


@final
class CountedFuture(asyncio.Future[Any]):
    """A future that hashes by its creation number."""

    _number: int
    """Set by the loop that makes it."""

    def __hash__(self) -> int:
        return self._number


class Posted(events.Handle):
    """What the program posted; the queue of what can run sets whose it is, and its place in line."""

    __slots__ = ("number", "seq")


class _Quick(Posted):
    """Made as in asyncio, but for the traceback of the debug mode."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: SimulatedLoop,
        context: Context | None,
    ) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


@final
class QuicklyPosted(_Quick):
    """What the program posted outside of the debug mode."""

    __slots__ = ()


@final
class EngineStep(_Quick):
    """A step of the engine itself: what goes wrong in it stops the loop instead of being logged."""

    __slots__ = ()


@final
class TimerPosted(events.TimerHandle):
    """A timer; when it is due it can run like what was posted."""

    __slots__ = ("number", "seq")
