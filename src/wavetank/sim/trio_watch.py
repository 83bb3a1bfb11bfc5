"""Lets a watch see the steps of a run of trio."""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import trio
from trio.abc import Instrument

from .host import Host


@final
class StepInstrument(Instrument):
    """Lets the host's watch see each step of a task."""

    def __init__(self, host: Host, name_of: Callable[[trio.lowlevel.Task], str]) -> None:
        self._host = host
        self._name_of = name_of

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._host.watch is not None:
            self._host.watch.before_task(task.coro)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._host.watch is not None:
            self._host.watch.after_task(self._name_of(task), task.coro)
