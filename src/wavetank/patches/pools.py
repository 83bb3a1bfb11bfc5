"""Give a run its own workers for thread pools that were made before it, and no pool of processes.

The workers of a pool that was made before are threads outside the run: they would work in real time while
virtual time goes on. So what the run submits goes to a pool of the same size and name whose
workers take turns like all threads of the run.

A pool that leaves its size to Python has one worker for each core and four besides, so its run
would take another course on another machine: in a run it has as many as Python ever gives it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any, Final, final
from weakref import WeakKeyDictionary

from ..sim.errors import RealInputOutput
from ..sim.refused_io import refusal_of
from ..sim.scheduler import Scheduler
from .attributes import replaced
from .imports import on_import

_RealQueue: Final = queue.SimpleQueue

_of_the_run: Final[WeakKeyDictionary[ThreadPoolExecutor, None]] = WeakKeyDictionary()
"""Pools that the run has made, in this order."""

_LASTING: Final = "_wavetank_lasting"
"""The attribute of a pool that says whether its workers outlive a test."""

DEFAULT_WORKERS: Final = 32
"""The most that Python gives a pool by itself."""


@contextmanager
def pools_under(scheduler: Scheduler) -> Iterator[None]:
    """Let the run's threads submit to pools from before the run, and make pools of a fixed default size."""
    submit_to_it = ThreadPoolExecutor.submit
    make = ThreadPoolExecutor.__init__
    own: dict[ThreadPoolExecutor, ThreadPoolExecutor] = {}

    def submit(
        self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **options: Any
    ) -> Future[Any]:
        pool = self
        if (
            scheduler.is_mine()
            and (self not in _of_the_run or isinstance(vars(self)["_work_queue"], _RealQueue))
            and not vars(self)["_shutdown"]
        ):
            pool = own.get(self) or own.setdefault(self, _like(self))
            _of_the_run[pool] = None  # also in a later test, at whose end its workers end once more
        if not scheduler.is_mine():
            return submit_to_it(pool, fn, *args, **options)
        with scheduler.lasting(getattr(pool, _LASTING, False)):
            return submit_to_it(pool, fn, *args, **options)

    def made(self: ThreadPoolExecutor, max_workers: int | None = None, *args: Any, **options: Any) -> None:
        if max_workers is None and scheduler.is_mine():
            max_workers = DEFAULT_WORKERS
        if scheduler.is_mine():
            setattr(self, _LASTING, scheduler.outlives())
        make(self, max_workers, *args, **options)
        if scheduler.is_mine():
            _of_the_run[self] = None

    with ExitStack() as stack:
        stack.enter_context(replaced(ThreadPoolExecutor, "submit", submit))
        stack.enter_context(replaced(ThreadPoolExecutor, "__init__", made))
        stack.enter_context(
            on_import(("concurrent.futures.process",), partial(_no_processes, scheduler, stack))
        )
        stack.enter_context(on_import(("multiprocessing.pool",), partial(_no_pool, scheduler, stack)))
        yield


def shut_pools_down() -> None:
    """Let the workers of the run's pools end when their work is done, as they do at the end of a program."""
    for pool in [*_of_the_run]:
        if not vars(pool).get(_LASTING):
            pool.shutdown(wait=False)


def workers_ended() -> None:
    """The threads of the run have ended: let pools that outlive it start new workers when they are used."""
    for pool in [*_of_the_run]:
        made = vars(pool)
        if made.get(_LASTING):
            continue
        if not made["_shutdown"]:
            made["_threads"].clear()
            made["_idle_semaphore"] = threading.Semaphore(0)
        _of_the_run.pop(pool, None)


def _no_processes(scheduler: Scheduler, stack: ExitStack, module: ModuleType) -> None:
    """Refuse what the run submits to a pool of processes: their work would take real time."""
    submit_to_it = module.ProcessPoolExecutor.submit

    def submit(self: object, *args: Any, **options: Any) -> Future[Any]:
        if scheduler.is_virtual_here():
            raise RealInputOutput(refusal_of("ProcessPoolExecutor.submit"))
        work: Future[Any] = submit_to_it(self, *args, **options)
        return work

    stack.enter_context(replaced(module.ProcessPoolExecutor, "submit", submit))


def _no_pool(scheduler: Scheduler, stack: ExitStack, module: ModuleType) -> None:
    """Refuse a `multiprocessing.Pool`, whose threads wait for real processes; a `ThreadPool` works."""
    make, wait = module.Pool.__init__, module.Pool._wait_for_updates

    def made(self: object, *args: Any, **options: Any) -> None:
        if not scheduler.is_mine():
            make(self, *args, **options)
        elif isinstance(self, module.ThreadPool):
            make(self, *args, **options, context=SimpleNamespace(SimpleQueue=_Changes))
        else:
            vars(self)["_state"] = module.CLOSE  # what its finalizer looks at
            raise RealInputOutput(refusal_of("multiprocessing.Pool"))

    def wait_for_updates(sentinels: Any, change_notifier: Any, timeout: float | None = None) -> None:
        if not isinstance(change_notifier, _Changes):
            wait(sentinels, change_notifier, timeout)
            return
        change_notifier.get()
        while not change_notifier.empty():
            change_notifier.get()

    stack.enter_context(replaced(module.Pool, "__init__", made))
    stack.enter_context(replaced(module.Pool, "_wait_for_updates", staticmethod(wait_for_updates)))


@final
class _Changes:
    """What the thread that looks after a `ThreadPool` waits on; Python's own kind is a real pipe."""

    _reader = None

    def __init__(self) -> None:
        self._queue: Any = queue.SimpleQueue()
        self.put, self.get, self.empty = self._queue.put, self._queue.get, self._queue.empty

    def close(self) -> None:
        """There is nothing to close."""


def _like(pool: ThreadPoolExecutor) -> ThreadPoolExecutor:
    made = vars(pool)
    return ThreadPoolExecutor(
        made["_max_workers"],
        made["_thread_name_prefix"],
        made.get("_initializer"),
        made.get("_initargs", ()),
    )
