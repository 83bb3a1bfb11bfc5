"""A schedule that was made, as the process that made it passes it on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

from ...sim.choices import Level, Recorder
from ..runs.trial_runs import Trial


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What came of one numbered schedule of a search.

    `record` is `None` where the run raised an error through the search, such as a skip. `missed` are the
    waves and faults that no run of this process has met so far, `failed` is what failed, and `trial` is
    the run itself, in the process that made it.
    """

    number: int
    level: Level
    record: Recorder | None
    missed: tuple[str, ...] = ()
    failed: str = ""
    trial: Trial | None = None

    def to_pass_on(self) -> Made:
        """The same without the run, which cannot leave its process."""
        return replace(self, trial=None)
