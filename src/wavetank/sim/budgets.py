"""The budgets of steps and of CPU time of a run without an outcome."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, final

from ..clock import cpu_seconds, format_duration
from .await_chain import place_of
from .errors import CpuBudgetSpent, StepBudgetSpent

if TYPE_CHECKING:
    from .timers import Timers

STEPS_WITHOUT_PROGRESS: Final = 150_000
"""So many steps at one instant without an outcome end a run.

A program that spins takes them in about one second of CPU time, and a search has told of it after
two. 60,000 tasks that all start at one instant need fewer.
"""

_PARTS_WHILE_TIME_PASSES: Final = 3
"""So many times as many steps end a run in which time passes: programs that poll need more of them."""

CPU_SECONDS_WITHOUT_PROGRESS: Final = 30.0
"""So much CPU time without an outcome ends a run in which time still passes.

Fifty tasks that poll every 100 ms get through an hour and more of virtual time in it.
"""

_ADVANCES_PER_CPU_READING: Final = 1_000
"""Reading the CPU clock costs as much as some steps."""

LAST_STEPS: Final = 64
"""So many of the steps before the end of a budget are noted: enough to show a pattern of some tasks."""

_SHOWN: Final = 10


@final
class StepBudget:
    """How many steps a run may take without an outcome, and who took the last ones.

    Steps are counted from the latest of: an outcome, an answer that reached its client, and the
    instant `quiet_at`, after which the scenario lets every client go on. At one instant they
    always count, so that a program which never lets time pass is stopped soon.
    """

    __slots__ = (
        "_began",
        "_exhausted",
        "_parts",
        "_quiet_at",
        "_seen",
        "_shown",
        "_since",
        "_timers",
        "limit",
        "most",
    )

    def __init__(self, most: int, timers: Timers, quiet_at: int) -> None:
        self.most = most
        self._timers = timers
        self._quiet_at = quiet_at
        self._seen: Counter[tuple[str, str]] = Counter()
        self.renew(0)

    def renew(self, steps: int) -> None:
        """Something came to an outcome after so many steps: count from here."""
        self._since = steps
        self._parts = 0
        self._exhausted = False
        self._next_part(steps)

    def exhaust(self) -> None:
        """Allow no more steps, whatever has been taken."""
        self._exhausted = True
        self.limit = -LAST_STEPS

    def _next_part(self, steps: int) -> None:
        self._began = self._timers.now()
        self.limit = steps + self.most - LAST_STEPS
        """From so many steps on, each one is noted."""
        self._seen.clear()
        self._shown = 0

    def is_spent(self, steps: int) -> bool:
        """Whether the run is to end after so many steps; it may go on if time passes and is not over."""
        if steps < self.limit + LAST_STEPS:
            return False
        if self._exhausted or self._timers.now() == self._began:
            return True
        self._parts = self._parts + 1 if self._began >= self._quiet_at else 0
        if self._parts == _PARTS_WHILE_TIME_PASSES:
            return True
        if not self._parts:
            self._since = steps
        self._next_part(steps)
        return False

    def note(self, name: str, coro: object) -> None:
        """A task is about to take a step from where it is."""
        self._seen[name, place_of(coro)] += 1
        self._shown += 1

    def note_callback(self, name: str) -> None:
        """A plain callback is about to run."""
        self._seen["", name] += 1
        self._shown += 1

    def last_steps(self) -> tuple[str, ...]:
        """A line for each task and place that took the last steps, those with most steps first."""
        return tuple(
            f"  {count} of the last {self._shown} steps: " + (f"task {name!r} {place}" if name else place)
            for (name, place), count in self._seen.most_common(_SHOWN)
        )

    def error(self, steps: int) -> StepBudgetSpent:
        """What to raise when the budget is spent after so many steps."""
        return StepBudgetSpent(
            f"{steps - self._since} steps without an outcome, "
            f"at {format_duration(self._timers.now())} of virtual time",
            spinning=self.last_steps(),
        )

    def __repr__(self) -> str:
        return f"<StepBudget {self.most}, {self._shown} noted>"


@final
class CpuBudget:
    """How much CPU time a run may use without an outcome while virtual time passes.

    How often time passes is the same in each repetition of a run; how long that takes is not. So a run that
    repeats another ends where that one did, `ends_at`, and reads no clock.
    """

    __slots__ = ("_ends_at", "_since", "_unread", "advances", "seconds")

    def __init__(self, seconds: float = CPU_SECONDS_WITHOUT_PROGRESS, ends_at: int | None = None) -> None:
        self.seconds = seconds
        self.advances = 0
        """How often time was about to pass."""
        self._ends_at = ends_at
        self.renew()

    def renew(self) -> None:
        """Something came to an outcome: count from the next reading of the clock."""
        self._unread = 0
        self._since: float | None = None

    def is_spent(self) -> bool:
        """Whether the run is to end; asked each time that virtual time is about to pass."""
        self.advances += 1
        if self._ends_at is not None:
            return self.advances == self._ends_at
        self._unread += 1
        if self._unread % _ADVANCES_PER_CPU_READING:
            return False
        now = cpu_seconds()
        if self._since is None:
            self._since = now
        return now - self._since > self.seconds

    def error(self, now: int) -> CpuBudgetSpent:
        """What to raise when the budget is spent at the instant `now`."""
        spent = (
            f"{self.seconds:g} s of CPU time" if self._ends_at is None else "as much CPU time as was given"
        )
        return CpuBudgetSpent(f"{spent} without an outcome, at {format_duration(now)} of virtual time")

    def __repr__(self) -> str:
        return f"<CpuBudget {self.seconds:g} s>"
