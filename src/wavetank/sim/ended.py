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
    steps of a spent budget, or which loop only read the clock. `cpu_spent_at` is that of the
    `RunStopped`.
    """

    how: How
    steps: int
    value: Any = None
    error: BaseException | None = None
    blocked: tuple[str, ...] = ()
    late_steps: int = 0
    stuck: tuple[str, ...] = ()
    spinning: tuple[str, ...] = ()
    cpu_spent_at: int | None = None


async def awaited(main: Callable[[], Awaitable[Any]], engine: Engine, scheduler: Scheduler) -> Ended:
    """Await `main` and report how it ended; it counts as stopped, whatever it made of that, if it was.

    What is no `Exception` propagates, such as `KeyboardInterrupt` or a skip, unless the run was interrupted.
    """
    try:
        value = await main()
    except BaseException as error:
        end = _ended_by(error, engine.steps, scheduler)
        if end is None:
            raise
        return end
    return _returned(value, engine.steps, scheduler)


def called(main: Callable[[], Any], scheduler: Scheduler) -> Ended:
    """As `awaited`, of a plain function."""
    try:
        value = main()
    except BaseException as error:
        end = _ended_by(error, scheduler.steps, scheduler)
        if end is None:
            raise
        return end
    return _returned(value, scheduler.steps, scheduler)


def _returned(value: Any, steps: int, scheduler: Scheduler) -> Ended:
    if scheduler.stopped_by is not None:
        return stopped(scheduler.stopped_by, steps)
    return Ended(how="returned", value=value, steps=steps)


def _ended_by(error: BaseException, steps: int, scheduler: Scheduler) -> Ended | None:
    """The end of a program that raised this; `None` if it is to propagate."""
    reason = scheduler.stopped_by
    rest = without_interruption(error) if scheduler.interrupted else error
    if reason is not None and (rest is None or isinstance(error, _STOPS)):
        return stopped(reason, steps)
    if rest is not None and not isinstance(rest, (Exception, CancelledError)):
        return None
    return Ended(how="interrupted" if rest is None else "raised", error=rest, steps=steps)


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
        "cpu_spent_at": reason.cpu_spent_at,
    }
    if isinstance(reason, Deadlock):
        return Ended(how="deadlock", **common)
    if isinstance(reason, CpuBudgetSpent):
        return Ended(how="cpu", **common)
    if isinstance(reason, TimeBudgetSpent):
        return Ended(how="time", late_steps=reason.late_steps, **common)
    return Ended(how="steps", **common)
