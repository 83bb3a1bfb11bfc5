"""Run one thread of a run at a time: starting, joining, locks, and all that is built on locks.

Locks, conditions, events, semaphores, barriers and queues that the run makes hand the baton
over when they block. They go on working after the run, and for threads outside it, as real ones.
"""

from __future__ import annotations

import concurrent.futures.thread
import functools
import logging
import os
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from types import FrameType, GenericAlias
from typing import Any, Final, final

from ..clock import after_delay
from ..sim.errors import RunOver
from ..sim.lock_records import forget_one, holders_of
from ..sim.run_threads import RunThread
from ..sim.scheduler import Scheduler
from ..sim.unseen_errors import received
from .attributes import replaced
from .imported_names import ImportedNames

_schedulers: Final[list[Scheduler]] = []
_early: Final[list[bool]] = []
"""Not empty while locks are ours although no run has begun."""
_real_lock = threading.Lock
_AT_ONCE: Final = (False,)
"""What a real lock's `acquire` is called with, by `map`.

Python looks for signals after a call of a function in C and at the beginning of one of ours, but not where
a `map` is unpacked: Ctrl-C never strikes between acquiring a lock and knowing that it is acquired.
"""

_BUILT_ON_LOCKS: Final = frozenset(
    module.__file__ for module in (threading, queue, concurrent.futures.thread, concurrent.futures._base)
)
"""Their steps between two operations on locks are no points at which threads are switched."""

_WAITS: Final = threading.Condition.wait.__code__
"""It acquires a lock of its own and waits for it once more: nobody holds that one."""

_PATCHES: Final = os.path.dirname(__file__)
"""What stands around a method, such as tracing, changes no schedule."""

_LOOKS: Final[dict[type, tuple[str, ...]]] = {
    threading.Event: ("is_set", "wait"),
    threading.Condition: ("__enter__", "wait", "wait_for"),
    threading.Semaphore: ("acquire", "__enter__"),
    threading.Barrier: ("wait",),
    queue.Queue: ("get", "empty", "full", "qsize"),
    vars(queue)["_PySimpleQueue"]: ("get", "empty", "qsize"),
    Future: ("result", "exception", "done"),
}
"""Before them another thread may go first: what they find depends on it."""

_CHANGES: Final[dict[type, tuple[str, ...]]] = {
    threading.Event: ("set",),
    threading.Condition: ("__exit__",),
    threading.Semaphore: ("release", "__exit__"),
    threading.BoundedSemaphore: ("release",),
    threading.Thread: ("start",),
    queue.Queue: ("put", "task_done"),
    vars(queue)["_PySimpleQueue"]: ("put",),
    Future: ("set_result", "set_exception"),
}
"""After them another thread may go first: it may have waited for the change."""

_ENDING: Final = "_wavetank_ending"
_START: Final = (
    "_start_joinable_thread" if hasattr(threading, "_start_joinable_thread") else "_start_new_thread"
)


def _scheduler_here() -> Scheduler | None:
    scheduler = _schedulers[-1] if _schedulers else None
    return scheduler if scheduler is not None and scheduler.is_mine() else None


def _may_switch() -> None:
    """A point at which another thread of the run may go first: its threads meet here."""
    if _schedulers and _schedulers[-1].chooser is not None and (scheduler := _scheduler_here()) is not None:
        scheduler.may_switch()


def _may_switch_for_program() -> None:
    """The same, unless what calls is a part of a primitive that is built on locks."""
    if not _schedulers or _schedulers[-1].chooser is None:
        return  # most locks are acquired outside of searches: no frame is looked at there
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PATCHES):  # `__exit__` calls `release`
        frame = frame.f_back
    if frame is None or frame.f_code.co_filename not in _BUILT_ON_LOCKS:
        _may_switch()


@final
class BatonLock:
    """A lock that lets the run's other threads go on while one of them waits for it."""

    __slots__ = ("__weakref__", "_holder", "_lock", "_waiting")

    def __init__(self) -> None:
        self._lock = _real_lock()
        self._holder = 0
        """The thread that has acquired it, if that was during a run."""
        self._waiting: deque[tuple[Scheduler, RunThread]] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        refused = timeout != -1 and (not blocking or timeout < 0)
        _may_switch_for_program()
        taken = False
        try:
            if not refused:
                (taken,) = map(self._lock.acquire, _AT_ONCE)
            if not taken:
                taken = self._later(blocking, timeout, refused)
            if taken:
                self._note()
            return taken
        except BaseException:
            if taken:  # Ctrl-C has struck since: the caller does not have it
                self._lock.release()
                self._released()
            raise

    def _later(self, blocking: bool, timeout: float, refused: bool) -> bool:
        """Acquire it when another has released it, if that is to be waited for."""
        scheduler = _scheduler_here()
        if scheduler is None and blocking and timeout < 0 and self._is_left_behind():
            return True
        if refused or scheduler is None:
            (taken,) = map(self._lock.acquire, (blocking,), (timeout,))  # raises what a real lock raises
            return taken
        if not blocking or timeout == 0:
            scheduler.asked_in_vain()
            (taken,) = map(self._lock.acquire, _AT_ONCE)
            return taken
        until = None if timeout < 0 else scheduler.timers.now() + after_delay(timeout)
        return self._wait(scheduler, until)

    def _is_left_behind(self) -> bool:
        """Whether this thread has held it since a run that is over, so that a wait for it would never end.

        Ctrl-C may strike at the very beginning of `__exit__`, before anything is released.
        """
        return not _schedulers and self._holder == threading.get_ident()

    def _wait(self, scheduler: Scheduler, until: int | None) -> bool:
        entry = (scheduler, scheduler.here())
        while True:
            try:
                self._waiting.append(entry)
                in_time = scheduler.wait(self._described, until=until)
            finally:
                if entry in self._waiting:
                    self._waiting.remove(entry)
            (taken,) = map(self._lock.acquire, _AT_ONCE)
            if taken or not in_time:
                return taken

    def _note(self) -> None:
        """Take note of who has acquired it: in the lock, and for the report of a run."""
        self._holder = threading.get_ident() if _schedulers else 0
        scheduler = _schedulers[-1] if _schedulers else None
        if scheduler is None or not scheduler.witness.attentive or not scheduler.is_mine():
            return
        if _WAITS not in (sys._getframe(2).f_code, sys._getframe(3).f_code):
            scheduler.witness.acquired(self)

    def _described(self) -> str:
        """What a thread waits for, and who holds it."""
        holding = holders_of(self)
        return f"a lock, held by {holding[0].describe()}" if holding and self.locked() else "a lock"

    def release(self) -> None:
        self._lock.release()
        self._released()
        _may_switch_for_program()

    def _released(self) -> None:
        """Let the first one that waits for it go on."""
        forget_one(self)
        if self._waiting:
            scheduler, thread = self._waiting.popleft()
            scheduler.wake(thread)

    def locked(self) -> bool:
        return self._lock.locked()

    __enter__ = acquire_lock = acquire
    release_lock, locked_lock = release, locked

    def __exit__(self, *args: object) -> None:
        self.release()

    def _at_fork_reinit(self) -> None:
        self._lock = _real_lock()
        self._waiting.clear()

    def __repr__(self) -> str:
        return f"<BatonLock {'locked' if self.locked() else 'unlocked'}>"


@final
class BatonRLock:
    """A re-entrant `BatonLock`; `threading.Condition` and `multiprocessing` use its private methods."""

    __slots__ = ("__weakref__", "_count", "_lock", "_owner")

    def __init__(self) -> None:
        self._lock = BatonLock()
        self._owner: int | None = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        me = threading.get_ident()
        if self._owner != me:
            if not self._lock.acquire(blocking, timeout):
                return False
            self._owner = me
        self._count += 1
        return True

    __enter__ = acquire

    def release(self) -> None:
        if self._owner != threading.get_ident():
            raise RuntimeError("cannot release un-acquired lock")
        if self._count > 1:
            self._count -= 1
        else:
            self._free()

    def _free(self) -> None:
        # Ctrl-C cannot strike between these two lines: a lock without an owner would be held for ever.
        self._owner, self._count = None, 0
        self._lock._lock.release()
        self._lock._released()
        _may_switch_for_program()

    def __exit__(self, *args: object) -> None:
        self.release()

    def locked(self) -> bool:
        return self._count > 0

    def _is_owned(self) -> bool:
        return self._owner == threading.get_ident()

    def _recursion_count(self) -> int:
        return self._count if self._is_owned() else 0

    def _release_save(self) -> tuple[int, int]:
        if not self._count or self._owner is None:
            raise RuntimeError("cannot release un-acquired lock")
        saved = (self._count, self._owner)
        self._free()
        return saved

    def _acquire_restore(self, saved: tuple[int, int]) -> None:
        self._lock.acquire()
        self._count, self._owner = saved

    def _at_fork_reinit(self) -> None:
        self.__init__()

    def __repr__(self) -> str:
        return f"<BatonRLock count={self._count}>"


def _ours_in_the_run(real: Callable[[], Any], ours: Callable[[], Any]) -> type:
    """A stand-in for a class of `threading` or `queue` that makes our kind for the run's threads."""

    class Kind(type):
        def __instancecheck__(cls, one: object) -> bool:
            return isinstance(one, kinds)

    kinds = tuple(kind for kind in (real, ours, type(real())) if isinstance(kind, type))

    class Made(metaclass=Kind):
        __class_getitem__: Any = classmethod(GenericAlias)

        def __new__(cls) -> Any:
            return real() if _scheduler_here() is None and not _early else ours()

    return Made


def _stand_ins() -> Iterator[tuple[Any, Any]]:
    """Each original once, and what makes our kind of it; the two names for a lock may be one object."""
    originals = {
        id(real): (real, ours)
        for real, ours in (
            (threading.Lock, BatonLock),
            (vars(threading)["_allocate_lock"], BatonLock),
            (threading.RLock, BatonRLock),
            (queue.SimpleQueue, vars(queue)["_PySimpleQueue"]),
        )
    }
    for real, ours in originals.values():
        yield real, _ours_in_the_run(real, ours)


_NAMES: Final = ImportedNames(tuple(_stand_ins()))


@contextmanager
def locks_for_later() -> Iterator[None]:
    """Make every lock our kind until the block ends, also outside of runs.

    A lock that a module of the program makes at its import can then be waited for in a run.
    """
    _early.append(True)
    _NAMES.put_in()
    try:
        yield
    finally:
        _early.pop()
        if not _schedulers and not _early:
            _NAMES.take_out()


@contextmanager
def threads_under(scheduler: Scheduler) -> Iterator[None]:
    """Let `scheduler` decide when threads that the run's threads start may run."""
    _schedulers.append(scheduler)
    try:
        with ExitStack() as stack:
            if len(_schedulers) == 1:
                _patch(stack)
            yield
    finally:
        _schedulers.remove(scheduler)


def _take_out() -> None:
    if not _early:
        _NAMES.take_out()


def _patch(stack: ExitStack) -> None:
    _NAMES.put_in()
    stack.callback(_take_out)
    stack.enter_context(
        replaced(threading, "_counter", _numbered(vars(threading)["_counter"], "thread name"))
    )
    pools = staticmethod(_numbered(vars(ThreadPoolExecutor)["_counter"], "pool name"))
    stack.enter_context(replaced(ThreadPoolExecutor, "_counter", pools))
    # `submit` holds it while it starts a thread and fills a queue, where threads may be switched.
    stack.enter_context(replaced(concurrent.futures.thread, "_global_shutdown_lock", BatonLock()))
    stack.enter_context(_no_word_of_the_end())
    stack.enter_context(replaced(Future, "set_exception", _noted(Future.set_exception)))
    for name in ("result", "exception"):
        stack.enter_context(replaced(Future, name, _asked(getattr(Future, name))))
    for points, switching in ((_LOOKS, _switching_before), (_CHANGES, _switching_after)):
        for kind, names in points.items():
            for name in names:
                stack.enter_context(replaced(kind, name, switching(getattr(kind, name))))
    stack.enter_context(replaced(threading, _START, _gated_start(getattr(threading, _START))))
    stack.enter_context(replaced(threading.Thread, "join", _join(threading.Thread.join)))
    stack.enter_context(replaced(threading.Thread, "is_alive", _is_alive(threading.Thread.is_alive)))


def _switching_before(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def look(*args: Any, **options: Any) -> Any:
        _may_switch_for_program()
        return method(*args, **options)

    return look


def _switching_after(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def change(*args: Any, **options: Any) -> Any:
        result = method(*args, **options)
        _may_switch()
        return result

    return change


def _numbered(count: Callable[[], int], kind: str) -> Callable[[], int]:
    """Names that count up in the run do not go on from earlier runs."""

    def next_number() -> int:
        scheduler = _scheduler_here()
        return count() if scheduler is None else scheduler.number(kind)

    return next_number


@contextmanager
def _no_word_of_the_end() -> Iterator[None]:
    """An executor logs whatever ends its workers; that the run is over is no news."""
    logger = logging.getLogger("concurrent.futures")

    def news(record: logging.LogRecord) -> bool:
        return not (record.exc_info and record.exc_info[0] is RunOver)

    logger.addFilter(news)
    try:
        yield
    finally:
        logger.removeFilter(news)


def _gated_start(start: Callable[..., Any]) -> Callable[..., Any]:
    """Start a thread that waits for its turn; its starter continues at once and finds it started."""

    def gated_start(function: Any, *args: Any, **options: Any) -> Any:
        scheduler = _scheduler_here()
        thread = getattr(function, "__self__", None)
        if scheduler is None or not isinstance(thread, threading.Thread):
            return start(function, *args, **options)
        waiting = _Ending(scheduler)
        setattr(thread, _ENDING, waiting)
        thread.run = _until_over(scheduler, thread.run)  # type: ignore[method-assign]
        gated = scheduler.gated(
            thread.name,
            lambda *given: _to_its_end(function, given, waiting),
            daemon=thread.daemon,
            target=vars(thread)["_target"],
        )
        result = start(gated, *args, **options)
        thread._started.set()  # type: ignore[attr-defined]
        return result

    return gated_start


def _until_over(scheduler: Scheduler, run: Callable[[], object]) -> Callable[[], None]:
    """A thread that unwinds because its run is over ends in silence; it does not even start after that.

    What else it raises then comes from its clean-up, which meets a run that is over: `asyncio.run` cannot
    run its loop again to cancel the tasks of it.
    """

    def quiet() -> None:
        if scheduler.over:
            return
        try:
            run()
        except RunOver:
            return
        except BaseException as error:
            if scheduler.over:
                return
            if isinstance(error, Exception):
                scheduler.witness.failed(error)
            raise
        scheduler.witness.thread_ended()

    return quiet


def _noted(set_exception: Callable[..., None]) -> Callable[..., None]:
    """Let a pool's future with an error be known to the run, until somebody asks for it."""

    def noted(self: Future[Any], exception: BaseException) -> None:
        scheduler = _scheduler_here()
        if scheduler is not None and isinstance(exception, Exception):
            scheduler.witness.failed(exception, self)
        set_exception(self, exception)

    return noted


def _asked(method: Callable[..., Any]) -> Callable[..., Any]:
    def asked(self: Future[Any], timeout: float | None = None) -> Any:
        try:
            return method(self, timeout)
        finally:
            if self.done():
                received(self)

    return asked


@final
class _Ending:
    """Who waits for a thread's end."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.over = False
        self.waiting: list[RunThread] = []

    def set(self) -> None:
        self.over = True
        for thread in self.waiting:
            self.scheduler.wake(thread)

    def wait(self, what: str, until: int | None) -> bool:
        """Block until it is over; False if the instant `until` came first."""
        me = self.scheduler.here()
        self.waiting.append(me)
        try:
            return self.over or self.scheduler.wait(what, until=until) or self.over
        finally:
            self.waiting.remove(me)


def _ending_of(thread: threading.Thread) -> _Ending | None:
    ending: _Ending | None = vars(thread).get(_ENDING)
    return ending


def _to_its_end(function: Callable[..., object], given: tuple[object, ...], ending: _Ending) -> None:
    try:
        function(*given)
    finally:
        ending.set()


def _join(join: Callable[..., None]) -> Callable[..., None]:
    def joined(self: threading.Thread, timeout: float | None = None) -> None:
        scheduler, ending = _scheduler_here(), _ending_of(self)
        if (
            scheduler is None
            or ending is None
            or ending.scheduler is not scheduler
            or self is threading.current_thread()
        ):
            return join(self, timeout)
        until = None if timeout is None else scheduler.timers.now() + after_delay(timeout)
        if not ending.over and until == scheduler.timers.now():
            scheduler.asked_in_vain()
        if not ending.wait(f"join of thread {self.name!r}", until):
            return None
        return join(self)

    return joined


def _is_alive(is_alive: Callable[..., bool]) -> Callable[..., bool]:
    def alive(self: threading.Thread) -> bool:
        scheduler, ending = _scheduler_here(), _ending_of(self)
        if ending is None:
            return is_alive(self)
        if scheduler is not None and not ending.over:
            scheduler.asked_in_vain()
        return not ending.over

    return alive
