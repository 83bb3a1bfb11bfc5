"""Run a program that is a plain function to its end: it may start threads, and runs in no event loop."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..patches.pools import shut_pools_down
from .ended import Ended, called, stopped
from .errors import RunStopped
from .main_thread_watch import watched
from .run_threads import in_a_loop, outside_of_loops
from .scheduler import Scheduler

Main = Callable[[], Any]


def run_plain(
    main: Main,
    scheduler: Scheduler,
    *,
    started: Callable[[Any], object],
    ended: Callable[[Ended], object],
    again: Main | None = None,
    otherwise: Callable[..., Ended],
) -> Ended:
    """Run `main` on the calling thread; the arguments are those of `run_asyncio`.

    If it returns a coroutine, it is the engine `otherwise` that runs this. When it was interrupted, its
    threads are waited for, but for daemons, before `again` runs.

    Anything else that is to be awaited makes the run fail by a TypeError.
    """
    outside_of_loops()
    scheduler.plain = True
    scheduler.may_interrupt(_waits, _interrupt)
    with watched(scheduler):
        end = called(main, scheduler)
        if not inspect.iscoroutine(end.value):
            return _finished(_checked(end, "main"), scheduler, ended, again)
    scheduler.plain = False
    scheduler.offers.clear()
    return otherwise(lambda: end.value, scheduler, started=started, ended=ended, again=again)


def _finished(
    end: Ended, scheduler: Scheduler, ended: Callable[[Ended], object], again: Main | None
) -> Ended:
    scheduler.offers.clear()
    if scheduler.interrupted and scheduler.stopped_by is None:
        end = _with_threads(end, scheduler)
        if again is not None and end.error is None and scheduler.stopped_by is None:
            end = _checked(called(again, scheduler), "after_interrupt")
    ended(end)
    scheduler.in_order()
    return end


def _with_threads(end: Ended, scheduler: Scheduler) -> Ended:
    """The end of an interrupted program when its threads have come to theirs."""
    shut_pools_down()
    try:
        scheduler.wait_for_threads()
    except RunStopped as reason:
        return stopped(reason, scheduler.steps)
    return end


def _waits() -> bool:
    # The loop of `asyncio.run` would have to be interrupted in its own way.
    return not in_a_loop()


def _interrupt() -> None:
    raise KeyboardInterrupt


def _checked(end: Ended, name: str) -> Ended:
    """The end of a plain function, which has returned nothing that is to be awaited."""
    value = end.value
    if not (inspect.isawaitable(value) or inspect.isasyncgen(value)):
        return end
    if inspect.iscoroutine(value):
        value.close()
    error = TypeError(
        f"{name} returned a {type(value).__name__}, which nothing awaits: write "
        f"`async def {name}(tank): ...`, and let main and after_interrupt be of one kind"
    )
    return Ended(how="raised", error=error, steps=end.steps)
