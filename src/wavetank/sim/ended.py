"""How a run came to its end, as an engine reports it."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, final

from .errors import CpuBudgetSpent, Deadlock, RunStopped, TimeBudgetSpent
from .run_threads import Engine
from .scheduler import Scheduler

How = Literal["returned", "raised", "deadlock", "steps", "time", "cpu"]


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

    What is no `Exception` propagates, such as `KeyboardInterrupt` or a skip.
    """
    try:
        value = await main()
    except (Exception, CancelledError) as error:
        end = Ended(how="raised", error=error, steps=engine.steps)
    except (RunStopped, BaseExceptionGroup):
        if scheduler.stopped_by is None:
            raise
        return stopped(scheduler.stopped_by, engine.steps)
    else:
        end = Ended(how="returned", value=value, steps=engine.steps)
    return end if scheduler.stopped_by is None else stopped(scheduler.stopped_by, engine.steps)


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
