"""The options of a run and of a search, checked; each is named and given its default here once."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, final

from ...checks import Check, Checks, named
from ...sim.choices import Level
from ..assembly import checked_budget, checked_seed
from ..workload import Workload

BACKENDS: Final = ("asyncio", "trio")

DEFAULT_SCHEDULES: Final = 1000
"""Of a search: some seconds for a small program, and enough for the races that tests have found so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What a run depends on beside its program, its scenario and its schedule.

    `seed` is that of the provider's keyed picks and of the process's random numbers. `checks` judge the
    run. `max_virtual_seconds` and `max_cpu_seconds` are its budgets, `None` for the default. The program
    finds the `workload` as `tank.workload`. `interrupt` lets a chooser interrupt the program, after which
    `after_interrupt` runs.

    Raises:
        TypeError: `after_interrupt` is no function.
        UnknownCheck: a check has no such name.
        ValueError: another option is out of range.
    """

    backend: str = "asyncio"
    seed: int = 0
    checks: Checks = "default"
    max_virtual_seconds: float | None = None
    max_cpu_seconds: float | None = None
    workload: Workload | None = None
    interrupt: bool = False
    after_interrupt: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        _checked_interruption(self.interrupt, self.after_interrupt)
        checked_backend(self.backend)
        checked_seed(self.seed)
        checked_budget(self.max_virtual_seconds)
        checked_budget(self.max_cpu_seconds, "max_cpu_seconds")
        checks = named(self.checks)
        if not isinstance(self.checks, str):  # it may be an iterator, which is read once
            object.__setattr__(self, "checks", checks)

    @property
    def named_checks(self) -> tuple[Check, ...]:
        """The checks, each by its own name."""
        return named(self.checks)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions(RunOptions):
    """What a search depends on: `schedules` or `seconds` of real time limit it, whichever ends first.

    `jobs` is the number of processes, which decides nothing but the time.

    Raises:
        UnknownCheck: a check has no such name.
        ValueError: another option is out of range.
    """

    schedules: int = DEFAULT_SCHEDULES
    policy: str = "portfolio"
    level: str = "any"
    seconds: float | None = None
    jobs: int = 1

    def __post_init__(self) -> None:
        # Not by super(): the class is made a second time, with slots.
        RunOptions.__post_init__(self)
        if not isinstance(self.schedules, int) or self.schedules < 1:
            raise ValueError(f"schedules={self.schedules!r}: make at least 1 run")
        if self.seconds is not None and not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds={self.seconds!r}: a search takes a number of real seconds, 0 or more")
        Level.parse(self.level)
        checked_jobs(self.jobs)


ONLY_FOR_SEARCHES: Final = tuple(
    field.name
    for field in fields(SearchOptions)
    if field.name not in {each.name for each in fields(RunOptions)}
)
"""The options of a search that a single run does not take."""


def cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def checked_jobs(jobs: int) -> int:
    """The number of processes, if it is one.

    Raises:
        ValueError: it is no whole number of at least 1.
    """
    if not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"jobs={jobs!r}: give a whole number of processes, at least 1")
    return jobs


def _checked_interruption(interrupt: bool, after: object) -> None:
    if not isinstance(interrupt, bool):
        raise TypeError(f"interrupt={interrupt!r}: give True or False")
    if after is None:
        return
    if not interrupt:
        raise ValueError("after_interrupt is given and interrupt is not: write interrupt=True beside it")
    if not callable(after):
        raise TypeError(f"after_interrupt={after!r}: give a function, `async def again(tank): ...`")


def checked_backend(name: str) -> str:
    """The name, if it is one of a backend.

    Raises:
        ValueError: it is not.
    """
    if name not in BACKENDS:
        raise ValueError(f"there is no backend {name!r}; there are: {', '.join(BACKENDS)}")
    return name
