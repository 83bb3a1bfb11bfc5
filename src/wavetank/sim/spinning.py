"""The last steps of a spent budget: who took them, and where in the program."""

from __future__ import annotations

from collections import Counter
from typing import Final, final

from ..clock import format_duration
from .chain import place_of
from .errors import StepBudgetSpent

LAST_STEPS: Final = 64
"""So many of the steps before the end of a budget are noted."""

_TOLD: Final = 10


@final
class LastSteps:
    """Counts the steps it is shown, by task and place."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()
        self._steps = 0

    def note(self, name: str, coro: object) -> None:
        """A task is about to take a step from where it is."""
        self._seen[name, place_of(coro)] += 1
        self._steps += 1

    def note_callback(self, name: str) -> None:
        """A plain callback is about to run."""
        self._seen["", name] += 1
        self._steps += 1

    def clear(self) -> None:
        """Something came to an outcome: what was noted does not count."""
        self._seen.clear()
        self._steps = 0

    def told(self) -> tuple[str, ...]:
        """A line for each task and place, those with most steps first."""
        return tuple(
            f"  {count} of the last {self._steps} steps: " + (f"task {name!r} {place}" if name else place)
            for (name, place), count in self._seen.most_common(_TOLD)
        )

    def spent(self, budget: int, now: int) -> StepBudgetSpent:
        """What to raise when the budget is spent at the instant `now`."""
        return StepBudgetSpent(
            f"{budget} steps without an outcome, at {format_duration(now)} of virtual time",
            spinning=self.told(),
        )

    def __repr__(self) -> str:
        return f"<LastSteps {self._steps} noted>"
