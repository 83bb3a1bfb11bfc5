"""Lets a watch see the steps of a run of trio."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import trio
from trio.abc import Instrument

from .scheduler import Scheduler


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
