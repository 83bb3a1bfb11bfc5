"""Give a run its own workers for thread pools that were made before it, and no pool of processes.

The workers of such a pool are threads outside the run: they would work in real time while
virtual time goes on. So what the run submits goes to a pool of the same size and name whose
workers take turns like all threads of the run.

A pool that leaves its size to Python has one worker for each core and four besides, so its run
would take another course on another machine: in a run it has as many as Python ever gives it.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Any, Final

from ..sim.errors import RealInputOutput
from ..sim.host import Host
from ..sim.refused import told
from .attributes import replaced
from .imports import on_import

_RealQueue: Final = queue.SimpleQueue

_LASTING: Final = "_wavetank_lasting"
"""The attribute of a pool that says whether its workers outlive a test."""

DEFAULT_WORKERS: Final = 32
"""The most that Python gives a pool by itself."""


@contextmanager
def pools_under(host: Host) -> Iterator[None]:
    """Let the run's threads submit to pools from before the run, and make pools of a fixed default size."""
    submit_to_it = ThreadPoolExecutor.submit
    make = ThreadPoolExecutor.__init__
    own: dict[ThreadPoolExecutor, ThreadPoolExecutor] = {}

    def submit(
        self: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **options: Any
    ) -> Future[Any]:
        pool = self
        if (
            host.is_mine()
            and (_LASTING not in vars(self) or isinstance(vars(self)["_work_queue"], _RealQueue))
            and not vars(self)["_shutdown"]
        ):
            pool = own.get(self) or own.setdefault(self, _like(self))
        if not host.is_mine():
            return submit_to_it(pool, fn, *args, **options)
        with host.lasting(getattr(pool, _LASTING, False)):
            return submit_to_it(pool, fn, *args, **options)

    def made(self: ThreadPoolExecutor, max_workers: int | None = None, *args: Any, **options: Any) -> None:
        if max_workers is None and host.is_mine():
            max_workers = DEFAULT_WORKERS
        if host.is_mine():
            setattr(self, _LASTING, host.outlives())
        make(self, max_workers, *args, **options)

    with ExitStack() as stack:
        stack.enter_context(replaced(ThreadPoolExecutor, "submit", submit))
        stack.enter_context(replaced(ThreadPoolExecutor, "__init__", made))
        stack.enter_context(on_import(("concurrent.futures.process",), partial(_no_processes, host, stack)))
        yield


def _no_processes(host: Host, stack: ExitStack, module: ModuleType) -> None:
    """Refuse what the run submits to a pool of processes: their work would take real time."""
    submit_to_it = module.ProcessPoolExecutor.submit

    def submit(self: object, *args: Any, **options: Any) -> Future[Any]:
        if host.is_virtual_here():
            raise RealInputOutput(told("ProcessPoolExecutor.submit"))
        work: Future[Any] = submit_to_it(self, *args, **options)
        return work

    stack.enter_context(replaced(module.ProcessPoolExecutor, "submit", submit))


def _like(pool: ThreadPoolExecutor) -> ThreadPoolExecutor:
    made = vars(pool)
    return ThreadPoolExecutor(
        made["_max_workers"],
        made["_thread_name_prefix"],
        made.get("_initializer"),
        made.get("_initargs", ()),
    )
