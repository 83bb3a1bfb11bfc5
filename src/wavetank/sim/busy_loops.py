"""Loops of the program that never let time pass: they read the clock, or poll, again and again."""

from __future__ import annotations

import sys
import threading
from types import FrameType
from typing import TYPE_CHECKING, Final

from ..clock import format_duration
from .blocked_tasks import describe_tasks, describe_threads
from .errors import Deadlock, RunOver
from .origin import kind_of

if TYPE_CHECKING:
    from .scheduler import Scheduler
    from .timers import Timers

READINGS_PER_STEP: Final = 3
"""A reading of the clock costs about a third of the CPU time of a step, so the budget has as many more."""

_BUDGETS_OF_A_LIBRARY: Final = 4
"""A library that reads the clock is given so many budgets: tqdm reads it for each row, however many."""

_PASS_IT_ON: Final = ("time_machine", "freezegun", "trio", "anyio")
"""Libraries that read the clock for the function that calls them."""


def read_by_program(scheduler: Scheduler) -> Timers:
    """The timers of a run whose program reads a clock; called by what stands in for that clock.

    Raises:
        Deadlock: the program waits in a loop that reads the clock, which stands still meanwhile.
    """
    timers = scheduler.timers
    timers.readings += 1
    budget = READINGS_PER_STEP * scheduler.step_budget
    if timers.readings % budget == 0:
        frame = sys._getframe(2)
        if timers.readings >= _BUDGETS_OF_A_LIBRARY * budget or _is_own(frame):
            timers.readings = 0
            raise spinning(
                scheduler, frame, "a loop that reads the clock, while no time can pass: wait with a sleep"
            )
    return timers


def _is_own(frame: FrameType | None) -> bool:
    """Whether the clock is read by the program itself, and not by a library that it uses."""
    while frame is not None:
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        if package not in _PASS_IT_ON and kind_of(frame) != "hidden":
            return kind_of(frame) == "own"
        frame = frame.f_back
    return False


def spinning(scheduler: Scheduler, frame: FrameType, what: str) -> BaseException:
    """Stop a run whose calling thread waits, at `frame`, in such a loop, namely `what`; what to raise there.

    It is the reason in the main thread; any other thread only ends.
    """
    headline = f"deadlock at {format_duration(scheduler.elapsed)}: a loop never lets time pass"
    thread = threading.current_thread()
    is_main = thread is threading.main_thread()
    here = describe_threads([("main" if is_main else thread.name, frame, what)])
    others = *describe_tasks(scheduler._suspended()), *scheduler.witness.blocked_threads()
    reason = scheduler.stopped(Deadlock(headline, others, spinning=here))
    if scheduler.engine is not None:
        scheduler.engine.stop_soon()
    return reason if is_main else RunOver()
