"""Parts of a program that stand for processes of their own: what belongs to one, and whether it may run.

A task or thread belongs to the process in whose context it was started, and so do the timers and callbacks
that it makes. Engines and threads ask here before something of a process becomes ready to run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import Context, ContextVar
from types import ModuleType
from typing import Final, Literal, Protocol, final

State = Literal["running", "paused", "crashed"]


class Modules(Protocol):
    """The modules of one process."""

    def concerns(self, name: str, /) -> bool:
        """Whether an import of this module may find one of the process."""

    def seen(self, module: ModuleType, /) -> ModuleType:
        """A module as code of the process sees it."""

    def in_place(self) -> AbstractContextManager[None]:
        """Imports inside find the modules of the process, and add to them."""


@final
class Process:
    """One process in the simulated world, from its start to its crash."""

    __slots__ = ("_held", "clock_offset", "modules", "name", "state", "steps")

    def __init__(self, name: str, *, clock_offset: int = 0) -> None:
        self.name = name
        self.clock_offset = clock_offset
        """By how many nanoseconds its wall clock is ahead of the others."""
        self.modules: Modules | None = None
        """Those that it imports for itself."""
        self.state: State = "running"
        self.steps = 0
        """How often something of it could run."""
        self._held: list[Callable[[], object]] = []

    def lets(self, run: Callable[[], object]) -> bool:
        """Whether something of it that is ready may run now; if it is paused, `run` is called afterwards."""
        if self.state == "running":
            self.steps += 1
            return True
        if self.state == "paused":
            self._held.append(run)
        return False

    def pause(self) -> None:
        """Nothing of it becomes ready to run until it resumes."""
        if self.state == "running":
            self.state = "paused"

    def resume(self) -> None:
        """What became ready meanwhile runs now."""
        if self.state == "paused":
            self.state = "running"
            held, self._held = self._held, []
            self.steps += len(held)
            for run in held:
                run()

    def crash(self) -> None:
        """Nothing of it ever runs again."""
        self.state = "crashed"
        self._held.clear()

    def __repr__(self) -> str:
        return f"<Process {self.name!r}, {self.state}>"


current_process: Final[ContextVar[Process | None]] = ContextVar("wavetank_process", default=None)
"""The process to which the running code belongs; `None` for what belongs to no replica."""


def process_of(context: Context) -> Process | None:
    """The process to which code in a context belongs."""
    return context.get(current_process)


def named_with_process(process: Process | None, name: str) -> str:
    """What reports call a task or thread of a process.

    >>> named_with_process(Process("one"), "worker#2")
    'one/worker#2'
    """
    return name if process is None else f"{process.name}/{name}"
