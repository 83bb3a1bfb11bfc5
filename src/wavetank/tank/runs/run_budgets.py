"""How long a search waits for a run before it suspects that it hangs.

A run that goes on for a whole budget costs seconds. The runs of a search are stopped much sooner,
and only one that is stopped is made again with the whole budget, to be sure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, final

from ...clock import MINUTE, to_seconds
from ...scenario import Scenario, quiet_instant
from ...sim.ended import Ended

_TIMES_AS_LONG: Final = 4
_TIMES_THE_STEPS: Final = 20
_SPARE: Final = 10 * MINUTE
_SPARE_STEPS: Final = 20_000


@final
@dataclass(frozen=True, slots=True)
class RunBudgets:
    """Budgets, in seconds of virtual time and in steps without an outcome, after which a run is suspect."""

    virtual_seconds: float
    steps: int

    def learned(self, end: Ended, virtual_seconds: float) -> RunBudgets:
        """The budgets after a run that came to its end in so long."""
        return RunBudgets(
            max(self.virtual_seconds, _TIMES_AS_LONG * virtual_seconds),
            max(self.steps, _TIMES_THE_STEPS * end.steps),
        )

    def longer(self) -> RunBudgets:
        """The budgets after a suspect that came to its end when it was given more time."""
        return replace(
            self, virtual_seconds=_TIMES_AS_LONG * self.virtual_seconds, steps=_TIMES_AS_LONG * self.steps
        )


def budgets_for(scenario: Scenario, max_virtual_seconds: float | None) -> RunBudgets:
    """The budgets before anything is known of the program."""
    waves = quiet_instant(scenario)
    return RunBudgets(
        min(to_seconds(_TIMES_AS_LONG * waves + _SPARE), max_virtual_seconds or float("inf")), _SPARE_STEPS
    )
