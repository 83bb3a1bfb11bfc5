"""How a run came to its end, as an engine reports it."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, final

from .errors import CpuBudgetSpent, Deadlock, RunStopped, TimeBudgetSpent
from .run_threads import Engine
from .scheduler import Scheduler

How = Literal["returned", "raised", "interrupted", "deadlock", "steps", "time", "cpu"]

_INTERRUPTIONS: Final = (CancelledError, KeyboardInterrupt)
_STOPS: Final = (Exception, CancelledError, RunStopped, BaseExceptionGroup)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """`value` or `error` is what `main` returned or raised; `blocked` describes a deadlock's tasks.

    `late_steps` were run in the second half of a budget of virtual time. `stuck` names the tasks
    that could never go on although others still ran, and `spinning` says who took the last
    steps of a spent budget, or which loop only read the clock.
    """

    how: How
    steps: int
    value: Any = None
    error: BaseException | None = None
    blocked: tuple[str, ...] = ()
    late_steps: int = 0
    stuck: tuple[str, ...] = ()
    spinning: tuple[str, ...] = ()


async def awaited(main: Callable[[], Awaitable[Any]], engine: Engine, scheduler: Scheduler) -> Ended:
    """Await `main` and report how it ended; it counts as stopped, whatever it made of that, if it was.

    What is no `Exception` propagates, such as `KeyboardInterrupt` or a skip, unless the run was interrupted.
    """
    try:
        value = await main()
    except BaseException as error:
        if scheduler.stopped_by is not None and isinstance(error, _STOPS):
            return stopped(scheduler.stopped_by, engine.steps)
        rest = without_interruption(error) if scheduler.interrupted else error
        if rest is not None and not isinstance(rest, (Exception, CancelledError)):
            raise
        how: How = "interrupted" if rest is None else "raised"
        end = Ended(how=how, error=rest, steps=engine.steps)
    else:
        end = Ended(how="returned", value=value, steps=engine.steps)
    return end if scheduler.stopped_by is None else stopped(scheduler.stopped_by, engine.steps)


def without_interruption(error: BaseException) -> BaseException | None:
    """What is left of an error without that by which the program was interrupted; `None` if nothing is."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(_INTERRUPTIONS)[1]
    return None if isinstance(error, _INTERRUPTIONS) else error


def stopped(reason: RunStopped, steps: int) -> Ended:
    """The end of a run that its engine stopped."""
    common: dict[str, Any] = {
        "steps": steps,
        "blocked": reason.blocked,
        "stuck": reason.stuck,
        "spinning": reason.spinning,
    }
    if isinstance(reason, Deadlock):
        return Ended(how="deadlock", **common)
    if isinstance(reason, CpuBudgetSpent):
        return Ended(how="cpu", **common)
    if isinstance(reason, TimeBudgetSpent):
        return Ended(how="time", late_steps=reason.late_steps, **common)
    return Ended(how="steps", **common)
