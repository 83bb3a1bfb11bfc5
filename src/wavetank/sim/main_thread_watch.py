"""Watch the main thread of a run: it may block on something real, such as a lock made before the run.

A thread outside the run looks at it now and then. When the main thread has stood still for too long, a
signal breaks into its wait, and the run is stopped with the stacks of all that was blocked.
"""

from __future__ import annotations

import _thread
import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, final

from ..clock import SECOND, format_duration, real_now
from ..patches.attributes import replaced
from .blocked_tasks import describe_tasks, describe_threads
from .errors import Deadlock
from .lock_holders import real_locks_held
from .origin import name_of_file
from .refused_io import LEAVE_OUT
from .scheduler import Scheduler

_real_lock = _thread.allocate_lock

PATIENCE: Final = 20.0
"""Real seconds at one place of the code, without CPU time: as long as other threads of a run are given."""

LONGEST_WORK: Final = 300.0
"""Real seconds of work in one step; the import of a large library on a slow machine takes a tenth of it."""

LOOKS: Final = 8
"""So often within its patience does the watch look; the last look may come an eighth late."""

_IDLE_CPU: Final = 0.001
"""Seconds of CPU time: a thread that waits uses none, and one that works on a busy machine more than this."""

_SIGNAL: Final[int | None] = getattr(signal, "SIGURG", None)
"""A signal that means nothing to a program without out-of-band data, and is ignored by default."""

_EXCUSED: Final = (
    "subprocess",
    "multiprocessing.",
    "pdb",
    "bdb",
    "code",
    "pydevd",
    "wavetank.sim.run_threads",
)
"""Modules that wait for something real with good reason: a process, a debugger, another thread of the run."""


@final
class _Watched:
    """One scheduler, and how its main thread was found at the last looks."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.ident = threading.get_ident()
        self.over = False
        self.struck = False
        self._progress: object = None
        self._progress_at = real_now()
        self._place: object = None
        self._place_at = real_now()
        self._cpu = 0.0

    def look(self) -> None:
        """Send the signal if the main thread has stood still for too long."""
        frame = sys._current_frames().get(self.ident)
        if frame is None or self.struck:
            return
        now, cpu = real_now(), _cpu_of(self.ident)
        progress, place = _progress(self.scheduler), (id(frame), frame.f_lasti)
        if progress != self._progress:
            self._progress, self._progress_at = progress, now
        if (progress, place) != self._place or cpu - self._cpu > _IDLE_CPU:
            self._place, self._place_at, self._cpu = (progress, place), now, cpu
        waits = now - self._place_at >= PATIENCE * SECOND
        if (waits or now - self._progress_at >= LONGEST_WORK * SECOND) and not _is_excused(frame):
            self.struck = True
            signal.pthread_kill(self.ident, _SIGNAL or 0)

    def break_in(self, frame: FrameType | None) -> None:
        """In the main thread, by the signal: stop the run."""
        if not self.struck or self.over:
            return
        self.struck = False
        self._place_at = self._progress_at = real_now()
        reason = self.scheduler.stopped(_stuck(self.scheduler, frame))
        if self.scheduler.engine is not None:
            self.scheduler.engine.stop_soon()  # the next one to wait would stand still as well
        raise reason


def _progress(scheduler: Scheduler) -> tuple[int, int, int]:
    """What changes as long as the run gets on."""
    return (
        scheduler.timers.now(),
        scheduler.steps,
        scheduler._started,
    )


def _cpu_of(ident: int) -> float:
    clock = getattr(time, "pthread_getcpuclockid", None)
    return time.clock_gettime(clock(ident)) if clock is not None else time.process_time()


def _is_excused(frame: FrameType | None) -> bool:
    if sys.gettrace() is not None:
        return False
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name.startswith(_EXCUSED) and (name.partition(".")[0] + "." in _EXCUSED or name in _EXCUSED):
            return True
        frame = frame.f_back
    return False


def _stuck(scheduler: Scheduler, frame: FrameType | None) -> Deadlock:
    tasks = scheduler._suspended()
    what = "something real, which is none of the run's, or works without end"
    for name, held_in in real_locks_held(tasks):
        file, line = name_of_file(held_in.f_code.co_filename), held_in.f_lineno
        what += f"; task {name!r} holds a lock of threading while it awaits at {file}:{line}"
    headline = (
        f"deadlock at {format_duration(scheduler.timers.now())}: the main thread stood still for "
        f"{PATIENCE:g} s of real time"
    )
    advice = (
        "  If it waits for a lock, make the lock inside the test; where that is held over an await, no other "
        f"task can give it back. If it does real work, {LEAVE_OUT}"
    )
    blocked = *describe_threads([("main", frame, what)]), *describe_tasks(tasks)
    return Deadlock(headline, (*blocked, *scheduler.witness.blocked_threads(), advice))


_watched: Final[list[_Watched]] = []
_guard: Final = _real_lock()
_lookouts: Final[list[_Lookout]] = []
"""The last thread that looked, which may have ended."""


@contextmanager
def watched(scheduler: Scheduler) -> Iterator[None]:
    """Watch the calling thread, which is the main thread of `scheduler`, until the block ends."""
    if _SIGNAL is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    mine = _Watched(scheduler)
    before = signal.signal(_SIGNAL, lambda _, frame: mine.break_in(frame))
    _watch(mine)
    try:
        with replaced(os, "fork", _then_look_on(os.fork)), replaced(os, "forkpty", _then_look_on(os.forkpty)):
            yield
    finally:
        mine.over = True
        with _guard:
            _watched.remove(mine)
        signal.signal(_SIGNAL, before)


def _watch(mine: _Watched) -> None:
    with _guard:
        _watched.append(mine)
    _look_on()


def _look_on() -> None:
    """Have a thread that looks as long as there is something to look at."""
    with _guard:
        if _watched and not (_lookouts and _lookouts[0].looks):
            if not _lookouts:
                os.register_at_fork(before=look_away)
            _lookouts[:] = [_Lookout()]


@functools.cache
def _then_look_on(fork: Callable[[], Any]) -> Callable[[], Any]:
    # Not by `after_in_parent`: Python 3.13 counts the threads after that.
    @functools.wraps(fork)
    def forked() -> Any:
        us = os.getpid()
        try:
            return fork()
        finally:
            if os.getpid() == us:
                _look_on()

    return forked


def look_away() -> None:
    """End the thread before a fork: Python 3.12 and later warn of a process that forks with threads."""
    if _lookouts:
        _lookouts[0].end()


@final
class _Lookout:
    """A thread that looks at the innermost run now and then, and ends when there is none."""

    def __init__(self) -> None:
        self.looks = True
        self._stop, self._ended = _real_lock(), _real_lock()
        self._stop.acquire()
        self._ended.acquire()
        self._native_id = -1
        _thread.start_new_thread(self._look_now_and_then, ())  # no thread of the run

    def end(self) -> None:
        """Return when the system has the thread no more, by which it counts threads; Linux tells."""
        if self._stop.locked():
            self._stop.release()
        with self._ended:
            pass
        pause = _real_lock()
        pause.acquire()
        while os.path.exists(f"/proc/self/task/{self._native_id}"):
            pause.acquire(timeout=0.001)

    def _look_now_and_then(self) -> None:
        self._native_id = _thread.get_native_id()
        while not self._stop.acquire(timeout=PATIENCE / LOOKS) and self._look():
            pass
        self.looks = False
        self._ended.release()

    def _look(self) -> bool:
        """Whether there is still something to look at."""
        with _guard:
            if not _watched:
                self.looks = False
                return False
            innermost = _watched[-1]
        innermost.look()
        return True
