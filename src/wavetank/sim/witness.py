"""What is noted in a run for the report on it: who runs where, what failed, who holds and who waits."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from types import FrameType
from typing import Any, Protocol, final

from .asyncio_handles import called_in_reports, name_of_running_task
from .blocked_tasks import describe_threads, waiting_tasks, waiting_threads
from .lock_records import Holding, acquired, forget
from .origin import Origin, origin_of, place_of_frame
from .quiet_stretches import Quiet, Waiting
from .run_threads import Engine, RunThread
from .task_ends import TaskEnds
from .unseen_errors import Failures


class Now(Protocol):
    """Says what time it is in the run."""

    def now(self) -> int:
        """Nanoseconds since the run began."""


What = str | Callable[[], str]
"""What a thread waits for, described, or a function that describes it when that is needed."""


@final
class Witness:
    """Of one run; `threads` are its own by their idents, `asleep` those that wait.

    In an `attentive` run it is noted who holds what, who waits through quiet stretches, and how tasks end.
    """

    def __init__(
        self,
        clock: Now,
        engine: Callable[[], Engine | None],
        threads: Mapping[int, RunThread],
        asleep: Mapping[RunThread, What],
        *,
        attentive: bool,
    ) -> None:
        self.attentive = attentive
        self.failures = Failures()
        """The errors with which tasks and threads ended."""
        self.quiet = Quiet(self._waiting) if attentive else None
        self.ends = TaskEnds(clock.now, self.failures)
        self._clock = clock
        self._engine = engine
        self._threads = threads
        self._asleep = asleep
        forget()

    def origin(self) -> Origin:
        """Who calls, and where in the program."""
        return origin_of(self.who_runs(), place_of_frame(sys._getframe(1)))

    def who_runs(self) -> str:
        """The name that reports have for the running task or, outside of one, for the calling thread."""
        engine = self._engine()
        if engine is not None:
            name = engine.name_of_running()
            if name is not None:
                return name
        name = name_of_running_task()
        if name is not None:
            return name
        thread = self._threads.get(threading.get_ident())
        return threading.current_thread().name if thread is None else thread.name

    def acquired(self, thing: object, borrower: int = 0) -> None:
        """The running task or thread has acquired a lock or a slot, perhaps on behalf of a borrower."""
        place = place_of_frame(sys._getframe(1))
        acquired(thing, Holding(self.who_runs(), self._clock.now(), place, borrower))

    def task_ended(self, task: asyncio.Task[Any]) -> Any:
        """A task of asyncio has ended."""
        error = getattr(task, "_exception", None)
        if error is not None:
            self.failures.task_ended(task, called_in_reports(task), self._clock.now())
        if self.attentive:
            self.ends.note(called_in_reports(task), error, cancelled=task.cancelled())

    def failed(self, error: BaseException, future: Future[Any] | None = None) -> None:
        """The calling thread ends with an error, or its pool keeps the error for the asker of `future`."""
        name = self.who_runs()
        self.failures.thread_failed(name, error, self._clock.now(), future)
        if future is None and self.attentive:
            self.ends.note(name, error)

    def thread_ended(self) -> None:
        """The calling thread returns."""
        if self.attentive:
            self.ends.note(self.who_runs())

    def blocked_threads(self) -> tuple[str, ...]:
        """A paragraph on each thread that waits."""
        return describe_threads(self._waiting_threads(sys._current_frames()))

    def _waiting(self) -> tuple[Waiting, ...]:
        engine = self._engine()
        tasks = () if engine is None else waiting_tasks(engine.suspended(prospects=False))
        return (*tasks, *waiting_threads(self._waiting_threads(sys._current_frames())))

    def _waiting_threads(
        self, frames: Mapping[int, FrameType]
    ) -> Iterator[tuple[str, FrameType | None, str]]:
        """Of each its name, frame and what it waits for; the function that took `frames` must still run."""
        for thread, what in self._asleep.items():
            if thread.process is not None and thread.process.state == "crashed":
                continue
            yield thread.name, frames.get(thread.ident), what if isinstance(what, str) else what()

    def __repr__(self) -> str:
        return f"<Witness of {self.failures!r}>"
