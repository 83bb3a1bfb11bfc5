"""What a policy is: it plans the schedules of a search by number, and learns from those that were made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Protocol, final

from ..choices import Chooser, Level, Recorder
from .random_choosers import Measured


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """How one run is to be made: who chooses, and the level it keeps to.

    One that repeats a run whose CPU time was spent ends at the same place, `cpu_spent_at`.
    """

    chooser: Chooser
    level: Level
    policy: str
    """The name of the policy, as a report shows it."""
    cpu_spent_at: int | None = None


class Policy(Protocol):
    """Plans the schedules of a search, which are numbered.

    Schedule 0 is FIFO. Any other one is a function of the seed, its number and what the policy has learnt,
    so that several processes, which learn the same, can make different parts of a search.
    """

    NAME: ClassVar[str]

    SAMPLES: ClassVar[bool]
    """Whether schedules are drawn at random without end; else it knows each only from those before it."""

    def __init__(self, *, seed: int, level: Level) -> None: ...

    def plan(self, number: int) -> Plan | None:
        """The schedule of a number from 1; `None` if, for all that was learnt, there is none."""

    def learn(self, record: Recorder) -> None:
        """Take in what a schedule came to: that of FIFO first, then the others in their order."""

    @property
    def proved(self) -> str | None:
        """What all the runs together prove, if they prove something."""


class Sampling(ABC):
    """A policy that draws its schedules: it learns how long they get."""

    SAMPLES: ClassVar = True

    def __init__(self, *, seed: int, level: Level) -> None:
        self.seed = seed
        self.level = level
        self.measured = Measured()

    @abstractmethod
    def plan(self, number: int) -> Plan | None:
        """The schedule of a number."""

    def learn(self, record: Recorder) -> None:
        self.measured.learn(record)

    @property
    def proved(self) -> str | None:
        return None
