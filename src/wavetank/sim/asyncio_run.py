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
) -> Ended:
    """Run `main` and drain what it leaves behind.

    `started` is given the loop before the first step; `ended` is called in the very step in
    which `main` comes to its end. An exception of `main` is part of the result; what is no
    `Exception`, such as `KeyboardInterrupt` or a skip, propagates.
    """
    outside_of_loops()
    loop = scheduler.engine = SimulatedLoop(scheduler)
    try:
        started(loop)
        with watched(scheduler):
            return _run(loop, main, ended)
    finally:
        try:
            loop.drain()
        finally:
            loop.close()


def _run(loop: SimulatedLoop, main: Main, ended: Callable[[Ended], object]) -> Ended:
    async def body() -> Ended:
        end = await awaited(main, loop, loop.scheduler)
        ended(end)
        loop.scheduler.in_order()
        return end

    try:
        result: Ended = loop.run_until_complete(loop.create_task(body(), name="main"))
    except RunStopped as reason:
        result = stopped(reason, loop.steps)
        ended(result)
    return result
