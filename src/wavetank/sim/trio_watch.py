"""Lets a watch see the steps of a run of trio, and a witness the ends of its tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import trio
from trio.abc import Instrument

from .scheduler import Scheduler
from .task_ends import TaskEnds


@final
class StepInstrument(Instrument):
    """Lets the scheduler's watch see each step of a task."""

    def __init__(self, scheduler: Scheduler, name_of: Callable[[trio.lowlevel.Task], str]) -> None:
        self._scheduler = scheduler
        self._name_of = name_of

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._scheduler.watch is not None:
            self._scheduler.watch.before_task(task.coro)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._scheduler.watch is not None:
            self._scheduler.watch.after_task(self._name_of(task), task.coro)


@final
class EndInstrument(Instrument):
    """Notes how each task ends."""

    def __init__(self, ends: TaskEnds, name_of: Callable[[trio.lowlevel.Task], str]) -> None:
        self._ends = ends
        self._name_of = name_of

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        if task.parent_nursery is not None and not task.name.startswith("<"):
            error = _error_of(task, task.parent_nursery)
            self._ends.note(self._name_of(task), error, cancelled=isinstance(error, trio.Cancelled))


def _error_of(task: trio.lowlevel.Task, nursery: Any) -> BaseException | None:
    """What a task has just raised: the last error that its nursery was given, if it went through the task."""
    errors: list[BaseException] = getattr(nursery, "_pending_excs", [])
    traceback = errors[-1].__traceback__ if errors else None
    frame = task.coro.cr_frame
    while traceback is not None:
        if traceback.tb_frame is frame or traceback.tb_frame.f_code is task.coro.cr_code:
            return errors[-1]
        traceback = traceback.tb_next
    return None
