"""How a simulated run can fail to come to an end."""

from __future__ import annotations

from typing import final


class RunStopped(BaseException):
    """The engine stopped the program: it could not, or was not allowed to, go on.

    It is no `Exception`, so that a program that retries whatever fails does not go on for ever.
    `blocked` has a paragraph for each task and thread that waited then: its await chain and what
    it waits for. `stuck` names the tasks that no other task could wake any more although others still ran.
    `spinning` says who took the last steps of a budget, or which loop only read the clock.
    If its CPU time was spent, `cpu_spent_at` says how often virtual time had been about to pass by then.
    """

    blocked: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    spinning: tuple[str, ...] = ()
    cpu_spent_at: int | None = None


@final
class Deadlock(RunStopped):
    """Nothing can run, no timer is set and no answer is under way, yet `main` has not returned.

    If `stuck` names `main`, others still ran, but none of them could let it go on.
    """

    def __init__(
        self,
        headline: str,
        blocked: tuple[str, ...],
        *,
        stuck: tuple[str, ...] = (),
        spinning: tuple[str, ...] = (),
    ) -> None:
        super().__init__("\n".join((headline, *spinning, *blocked)))
        self.headline = headline
        self.blocked = blocked
        self.stuck = stuck
        self.spinning = spinning


@final
class StepBudgetSpent(RunStopped):
    """The run took more steps than its budget."""

    def __init__(self, message: str, *, spinning: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.spinning = spinning


@final
class CpuBudgetSpent(RunStopped):
    """The run computed for longer than its budget of CPU time without an outcome."""


@final
class TimeBudgetSpent(RunStopped):
    """The run went past its budget of virtual time; `late_steps` were run in its second half."""

    def __init__(self, message: str, *, late_steps: int = 0) -> None:
        super().__init__(message)
        self.late_steps = late_steps


@final
class RealInputOutput(RuntimeError):
    """A real socket, pipe or subprocess was asked for in virtual time."""


@final
class ThreadStuck(RuntimeError):
    """A thread of the run holds the baton for real time without end."""


@final
class RunOver(SystemExit):
    """Unwinds a thread, or a task that will not be cancelled, when its run has ended."""


@final
class RealLoop(RuntimeError):
    """An event loop with the machine's clock was to run in virtual time."""
