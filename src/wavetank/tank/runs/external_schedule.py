"""A schedule that another program chooses, choice by choice, during the run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ...sim.choices import Kind, Level


class ExternalSchedule(ABC):
    """Chooses for one run of `simulate`, and receives the token of what it chose."""

    level: Level

    @abstractmethod
    def choose(self, kind: Kind, n: int, who: Sequence[int], /) -> int:
        """One of `n` options, as a chooser does; it must not raise, since a run may be under way."""

    @abstractmethod
    def ended(self, token: str) -> None:
        """The run is over, and `token` repeats it; here the schedule may raise."""
