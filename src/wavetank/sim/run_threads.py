"""Who takes turns in a run: threads with the baton, and the engines that run tasks."""

from __future__ import annotations

import functools
import sys
import threading
from asyncio import events
from collections.abc import Callable, Container
from types import FrameType
from typing import Final, Protocol, final

from .await_chain import Suspended
from .origin import Place
from .processes import Process, named_with_process

_real_lock = threading.Lock

UNDER_REAL_LOCKS: Final = {"<frozen importlib._bootstrap>"}
"""Files whose functions call other code under a real lock, on which another thread would block for real."""

if sys.version_info < (3, 12):
    UNDER_REAL_LOCKS.add(functools.__file__)  # a cached_property is computed under a lock of its own

_KNOWN_IDLE_THREADS: Final = ("Trio thread", "execnet", "pytest_timeout", "MainThread", "wavetank-loop")
"""Threads that live beside every run and never have to do with it."""


def in_a_loop() -> bool:
    """Whether an event loop runs on this thread, of asyncio or of trio."""
    trio = sys.modules.get("trio")
    return events._get_running_loop() is not None or (trio is not None and trio.lowlevel.in_trio_run())


def holds_a_real_lock(frame: FrameType | None) -> bool:
    """Whether this frame or one that called it belongs to `UNDER_REAL_LOCKS`."""
    while frame is not None:
        if frame.f_code.co_filename in UNDER_REAL_LOCKS:
            return True
        frame = frame.f_back
    return False


def outside_of_loops() -> None:
    """Check that no event loop runs on this thread.

    Raises:
        RuntimeError: one does, of asyncio or of trio.
    """
    if in_a_loop():
        raise RuntimeError(
            "a simulated run cannot start inside a running event loop: call it from a sync function"
        )


def outsiders(ours: Container[int | None]) -> list[str]:
    """The names of live threads whose idents are not `ours`."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.ident not in ours and not thread.name.startswith(_KNOWN_IDLE_THREADS)
    ]


class Engine(Protocol):
    """What runs tasks on the scheduler thread: an asyncio loop or a run of trio."""

    @property
    def steps(self) -> int:
        """How many steps it has run."""

    def pending(self) -> bool:
        """Whether something can run."""

    def progress(self) -> None:
        """Something came to an outcome: start the step budget again."""

    def stop_soon(self) -> None:
        """Let no more steps be made but those in which the tasks unwind."""

    def dispose(self) -> None:
        """Let go of what never ended."""

    def soon(self, callback: Callable[[], object]) -> None:
        """Run `callback` in a step of its own."""

    def drop(self, process: Process) -> None:
        """Let go of the tasks of a process that has crashed: none of its code runs any more."""

    def suspended(self, *, prospects: bool = True) -> list[Suspended]:
        """The tasks that have not ended, in creation order.

        Without `prospects` it is not found out which of them can run, and which one is the first.
        """

    def name_of(self, number: int) -> str | None:
        """The name of the task with this number, if it is alive."""

    def awaits_of_running(self) -> Callable[[], tuple[object, ...]] | None:
        """A function that says what the running task awaits, later on; `None` if none of its tasks runs."""

    def watch_steps(self) -> None:
        """Let the scheduler's watch see every step from here on."""

    def name_of_running(self) -> str | None:
        """The name of the task that runs now, if one does."""


@final
class RunThread:
    """A thread of the run: it runs only while it has the baton."""

    __slots__ = (
        "_gate",
        "begins",
        "daemon",
        "given_back",
        "ident",
        "lasting",
        "name",
        "number",
        "process",
        "turn",
        "woken",
    )

    def __init__(
        self,
        name: str,
        number: int = 0,
        *,
        daemon: bool = False,
        begins: Place | None = None,
        process: Process | None = None,
    ) -> None:
        self.name = named_with_process(process, name)
        self.process = process
        """The simulated process that it belongs to."""
        self.number = number
        """Below 0 for threads beside the scheduler's, in the order they were started."""
        self.daemon = daemon
        """Whether Python does not wait for its end when the program ends."""
        self.begins = begins
        """Where the function is that it is made for."""
        self.ident = 0
        self.lasting = False
        """Whether it outlives the test in which it runs."""
        self.woken = False
        self.turn = 0
        self.given_back = 0
        """The last turn after which it gave the baton back."""
        self._gate = _real_lock()
        self._gate.acquire()

    def go(self) -> None:
        """Give it the baton."""
        self._gate.release()

    def park(self, timeout: float = -1) -> bool:
        """Wait for the baton; False if it did not come within `timeout` real seconds."""
        return self._gate.acquire(timeout=timeout)

    def __repr__(self) -> str:
        return f"<RunThread {self.name!r}>"
