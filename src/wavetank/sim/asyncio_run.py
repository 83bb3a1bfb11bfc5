"""Run a program to its end on the simulated asyncio loop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from .asyncio_loop import SimulatedLoop
from .ended import Ended, awaited, stopped
from .errors import RunStopped
from .main_thread_watch import watched
from .run_threads import outside_of_loops
from .scheduler import Scheduler

Main = Callable[[], Coroutine[Any, Any, Any]]


def run_asyncio(
    main: Main,
    scheduler: Scheduler,
    *,
    started: Callable[[SimulatedLoop], object],
    ended: Callable[[Ended], object],
    again: Main | None = None,
) -> Ended:
    """Run `main` and drain what it leaves behind.

    `started` is given the loop before the first step; `ended` is called in the very step in
    which `main` comes to its end or, if it was interrupted, when what it left has been cancelled and
    `again` has run. An exception of `main` is part of the result; what is no
    `Exception`, such as `KeyboardInterrupt` or a skip, propagates.
    """
    outside_of_loops()
    loop = scheduler.engine = SimulatedLoop(scheduler)
    try:
        started(loop)
        with watched(scheduler):
            return _run(loop, main, ended, again)
    finally:
        try:
            loop.drain()
        finally:
            loop.close()


def _run(
    loop: SimulatedLoop, main: Main, ended: Callable[[Ended], object], again: Main | None = None
) -> Ended:
    scheduler = loop.scheduler

    async def body() -> Ended:
        end = await awaited(main, loop, scheduler)
        scheduler.offers.clear()
        if scheduler.interrupted and scheduler.stopped_by is None:
            while task.uncancel():
                pass
            await loop.cancel_left()
            if again is not None and end.error is None:
                end = await awaited(again, loop, scheduler)
        ended(end)
        scheduler.in_order()
        return end

    task = loop.create_task(body(), name="main")
    loop.explored(task)
    try:
        result: Ended = loop.run_until_complete(task)
    except RunStopped as reason:
        result = stopped(reason, loop.steps)
        ended(result)
    return result
