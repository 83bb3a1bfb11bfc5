"""What stands in for parts of trio's run loop in virtual time: clock, selector, wake-up pipe, dice."""

from __future__ import annotations

import sys
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NoReturn, final

import trio
from outcome import Error, Value
from trio._core import _run as core
from trio.abc import Clock

from .busy_loops import read_by_program
from .dropped_frames import drop_frames
from .errors import RealInputOutput
from .processes import Process, process_of
from .refused_io import refusal_of
from .scheduler import Scheduler
from .virtual_files import VirtualFile, virtual_file

_CURRENT_TIME: Final = core.Runner.current_time.__code__
"""Of what `trio.current_time` calls."""


@final
class VirtualClock(Clock):
    """trio's view of virtual time; it never says how long to sleep, the driver decides that."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._timers = scheduler.timers

    def start_clock(self) -> None:
        """Virtual time counts from the start of the run."""

    def current_time(self) -> float:
        if sys._getframe(1).f_code is _CURRENT_TIME:  # else it is trio's run loop
            read_by_program(self._scheduler)
        return self._timers.seconds()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return deadline - self._timers.seconds()


@final
class NoInputOutput:
    """Stands in for the selector: there is nothing to wait for but time and virtual files."""

    def __init__(
        self, wait: Callable[[float], tuple[str, ...]], arrange: Callable[[list[trio.lowlevel.Task]], object]
    ) -> None:
        self.steps = 0
        self.arrange = arrange
        """Puts a batch in creation order into the order in which it is to run."""
        self._wait = wait
        self._waiting: dict[int, trio.lowlevel.Task] = {}
        """By descriptor who waits to read."""

    def get_events(self, timeout: float) -> tuple[str, ...]:
        return self._wait(timeout)

    def process_events(self, events: object) -> None:
        """There are none."""

    def close(self) -> None:
        """Nothing is open."""

    def force_wakeup(self) -> None:
        """Nobody sleeps."""

    async def wait_readable(self, fd: Any) -> None:
        """Wait until a virtual file is readable.

        Raises:
            RealInputOutput: it is another one.
            trio.BusyResourceError: another task waits for it.
            trio.ClosedResourceError: it was closed meanwhile.
        """
        file, number = virtual_file(fd), _number(fd)
        if file is None:
            raise RealInputOutput(refusal_of("trio.lowlevel.wait_readable"))
        if number in self._waiting:
            raise trio.BusyResourceError("another task is already reading / writing this fd")
        if file.readable:
            await trio.lowlevel.checkpoint()
            return
        task = trio.lowlevel.current_task()
        look = partial(self._look, number, file)
        self._waiting[number] = task
        file.watchers.append(look)
        try:
            await trio.lowlevel.wait_task_rescheduled(lambda _: self._aborted(number))
        finally:
            file.watchers.remove(look)

    async def wait_writable(self, fd: Any) -> None:
        """A virtual file can be written to, unless it is not connected yet; it is readable then, too."""
        file = virtual_file(fd)
        if file is None:
            raise RealInputOutput(refusal_of("trio.lowlevel.wait_writable"))
        await (trio.lowlevel.checkpoint() if file.writable else self.wait_readable(fd))

    def _look(self, number: int, file: VirtualFile) -> None:
        if file.readable and (task := self._waiting.pop(number, None)) is not None:
            trio.lowlevel.reschedule(task)

    def _aborted(self, number: int) -> trio.lowlevel.Abort:
        self._waiting.pop(number, None)
        return trio.lowlevel.Abort.SUCCEEDED

    def notify_closing(self, fd: Any) -> None:
        """A task that waits for it is to know."""
        task = self._waiting.pop(_number(fd), None)
        if task is not None:
            closed = trio.ClosedResourceError("another task closed this fd")
            trio.lowlevel.reschedule(task, Error(closed))

    def statistics(self) -> None:
        return None

    def __getattr__(self, name: str) -> NoReturn:
        raise RealInputOutput(refusal_of(f"trio.lowlevel.{name}"))


def _number(fd: Any) -> int:
    return fd if isinstance(fd, int) else int(fd.fileno())


def may_run(task: trio.lowlevel.Task, later: Callable[[trio.lowlevel.Task], object]) -> bool:
    """Whether the simulated process of a task lets it run now; else `later` may be called with it."""
    process = process_of(task.context)
    return process is None or process.lets(lambda: later(task))


@final
class InOrder(deque[Any]):
    """Stands in for the queue of tasks that can run, where their order is not chosen."""

    def append(self, task: trio.lowlevel.Task) -> None:
        if may_run(task, super().append):
            super().append(task)


def drop_tasks(runner: core.Runner, process: Process) -> None:
    """Let go of the tasks of a process that has crashed, the youngest first; none of its code runs any more.

    Their nurseries end with them. For trio each of them has returned.
    """
    mine = [task for task in runner.tasks if process_of(task.context) is process]
    running = getattr(core.GLOBAL_RUN_CONTEXT, "task", None)
    for task in sorted((task for task in mine if task is not running), key=lambda task: -task._counter):
        drop_frames(task.coro)
        task._abort_func = None
        if task._next_send_fn is not None:  # it was about to run
            task._next_send_fn = lambda _: core.CancelShieldedCheckpoint
        task._child_nurseries.clear()
        runner.task_exited(task, Value(None))


@final
class OneByOne:
    """Stands in for the queue of tasks that can run: it hands them out one at a time.

    In FIFO order come the tasks of a batch, in creation order, and then those that could run
    later. The scheduler's chooser is given their numbers and says which goes next.
    """

    def __init__(self, scheduler: Scheduler, number_of: Callable[[trio.lowlevel.Task], int]) -> None:
        self._scheduler = scheduler
        self._number_of = number_of
        self._size = 0
        self.batch: list[trio.lowlevel.Task] = []
        """Those of the batch that have not run yet."""
        self._later: list[trio.lowlevel.Task] = []
        self._batch_who: list[int] = []
        self._later_who: list[int] = []

    def append(self, task: trio.lowlevel.Task) -> None:
        if may_run(task, self._add):
            self._add(task)

    def _add(self, task: trio.lowlevel.Task) -> None:
        self._size += 1
        number = self._number_of(task)
        place = bisect_left(self._later_who, number)
        self._later_who.insert(place, number)
        self._later.insert(place, task)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[trio.lowlevel.Task]:
        """Take out the one task that goes next."""
        if not self._size:
            return iter(())
        if not self.batch:
            self.batch, self._later = self._later, self.batch
            self._batch_who, self._later_who = self._later_who, self._batch_who
        at, tasks, who, chooser = 0, self.batch, self._batch_who, self._scheduler.chooser
        if chooser is not None and self._size > 1:
            at = chooser.choose("run", self._size, who + self._later_who if self._later_who else who)
            if at >= len(tasks):
                at -= len(tasks)
                tasks, who = self._later, self._later_who
        self._size -= 1
        del who[at]
        return iter((tasks.pop(at),))

    def clear(self) -> None:
        """What was handed out is out already."""


@final
class Wakeup:
    """Stands in for the socket pair that wakes the entry queue, from any thread of the run."""

    def __init__(self, soon: Callable[[Callable[[], object]], object]) -> None:
        self._soon = soon
        self._called = False
        self._waiting: trio.lowlevel.Task | None = None

    def wakeup_thread_and_signal_safe(self) -> None:
        self._called = True
        if self._waiting is not None:
            self._soon(self._wake)

    def _wake(self) -> None:
        if self._waiting is not None:  # else it was woken, or cancelled, in the meantime
            task, self._waiting = self._waiting, None
            trio.lowlevel.reschedule(task)

    async def wait_woken(self) -> None:
        if self._called:
            await trio.lowlevel.checkpoint()
        else:
            self._waiting = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._aborted)
        self._called = False

    def _aborted(self, _: object) -> trio.lowlevel.Abort:
        self._waiting = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wakeup_on_signals(self) -> None:
        """A signal ends `let_time_pass` by its exception."""

    def drain(self) -> None:
        """Nothing is queued."""

    def close(self) -> None:
        """Nothing is open."""


@final
class _Order:
    """Stands in for trio's random generator: each batch runs in creation order, or as its run chooses."""

    def shuffle(self, batch: list[Any]) -> None:
        manager: Any = core.GLOBAL_RUN_CONTEXT.runner.io_manager
        if isinstance(manager, NoInputOutput):
            manager.arrange(batch)
        batch.reverse()  # trio takes from the end

    def random(self) -> float:
        return 0.0

    def uniform(self, low: float, high: float) -> float:
        return low


@contextmanager
def creation_order() -> Iterator[None]:
    """Let trio run each batch in creation order."""
    before = core._ALLOW_DETERMINISTIC_SCHEDULING, core._r
    core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = True, _Order()
    try:
        yield
    finally:
        core._ALLOW_DETERMINISTIC_SCHEDULING, core._r = before


@contextmanager
def library_is_trio() -> Iterator[None]:
    """Let `sniffio` see trio while its tasks run."""
    before, core.sniffio_library.name = core.sniffio_library.name, "trio"
    try:
        yield
    finally:
        core.sniffio_library.name = before
