"""What a policy is: it plans the next run, and learns from the one that was made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, final

from ..choices import Chooser, Level, Recorder


@final
@dataclass(frozen=True, slots=True)
class Plan:
    """How one run is to be made: who chooses, and the level it keeps to."""

    chooser: Chooser
    level: Level
    policy: str
    """The name of the policy, as a report shows it."""


class Policy(Protocol):
    """Plans the runs of a search. The first run of every search is FIFO, and the policy learns of it."""

    NAME: ClassVar[str]

    def __init__(self, *, seed: int, level: Level) -> None: ...

    def plan(self) -> Plan | None:
        """The next run; `None` when there is nothing left to try."""

    def learn(self, record: Recorder) -> None:
        """Take in what the last planned run, or the first one in FIFO order, came to."""

    @property
    def proved(self) -> str | None:
        """What all the runs together prove, if they prove something."""
