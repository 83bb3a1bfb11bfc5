"""Run a program that starts its own event loops and threads, from its first import to the end of Python."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Final, final

from ..patches.attributes import replaced
from ..patches.imports import on_import
from ..patches.runners import OwnCurrentLoop
from ..sim.ended import Ended, stopped
from ..sim.errors import RealInputOutput
from ..sim.main_thread_watch import watched
from ..sim.run_threads import outside_of_loops
from ..sim.scheduler import Scheduler

_NO_PROCESSES: Final = (
    "multiprocessing.Process.start(): a rehearsal has one process, where the fake and virtual time are. "
    "Rehearse what one process does (module:function), or let threads do the work"
)

_WAITS_AFTER_THE_END: Final = 1_000
"""So often may a stopped program wait once more: to clean up takes some waits for each of its tasks."""


@final
class ProcessExit(SystemExit):
    """The program called `os._exit`."""


def run_hosted(
    main: Callable[[], object],
    scheduler: Scheduler,
    *,
    ended: Callable[[Ended], object],
    leave: Callable[[], object],
    abandon: Callable[[Ended], object],
    **_: object,
) -> Ended:
    """Run `main`, a plain function, and then `leave`, as a backend of `Trials`.

    Whatever they raise is part of the result. The program starts its event loops itself. If it goes on for
    long after it was stopped, `abandon` is called, which may end the process.
    """
    outside_of_loops()
    _limit_the_rest(scheduler, ended, abandon)
    with OwnCurrentLoop().lent(), _one_process(), watched(scheduler):
        error = _raised_by(main)
        if scheduler.stopped_by is None and not isinstance(error, ProcessExit):
            left = _raised_by(leave)
            error = error or left
    end = _end(scheduler, error)
    ended(end)
    scheduler.in_order()
    return end


def _end(scheduler: Scheduler, error: BaseException | None) -> Ended:
    if scheduler.stopped_by is not None:
        return stopped(scheduler.stopped_by, scheduler.steps)
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return Ended(how="returned", steps=scheduler.steps)
    return Ended(how="raised", error=error, steps=scheduler.steps)


def _limit_the_rest(
    scheduler: Scheduler, ended: Callable[[Ended], object], abandon: Callable[[Ended], object]
) -> None:
    """A program that was stopped may catch even that, by a bare `except`, and go on for ever."""
    waited, before = 0, scheduler.timers.idle

    def idle() -> bool:
        nonlocal waited
        if scheduler.stopped_by is not None:
            waited += 1
            if waited > _WAITS_AFTER_THE_END:
                end = _end(scheduler, None)
                ended(end)
                abandon(end)
        return before is not None and before()

    scheduler.timers.idle = idle


def _raised_by(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except BaseException as error:
        return error
    return None


def leave_python() -> None:
    """What Python does after the main module: wait for the threads, then call what `atexit` was given."""
    pools = sys.modules.get("concurrent.futures.thread")
    if pools is not None:
        pools._python_exit()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()


@contextmanager
def _one_process() -> Iterator[None]:
    """Refuse other processes of Python, which would meet no fake; let `os._exit` end the program alone."""
    here = os.getpid()
    leave_at_once = os._exit

    def _exit(status: int) -> None:
        if os.getpid() != here:
            leave_at_once(status)
        raise ProcessExit(status)

    def no_processes(stack: ExitStack, module: ModuleType) -> None:
        stack.enter_context(replaced(module.BaseProcess, "start", _refused))

    with ExitStack() as stack, replaced(os, "_exit", _exit):
        stack.enter_context(on_import(("multiprocessing.process",), partial(no_processes, stack)))
        yield


def _refused(_: object) -> None:
    raise RealInputOutput(_NO_PROCESSES)
