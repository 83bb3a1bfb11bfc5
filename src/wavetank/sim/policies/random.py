"""Uniform: each of those who can run is as likely to go next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, final

from ..choices import Level, Recorder
from ..dice import dice
from .plan import Plan
from .random_choosers import ALWAYS, NEVER, SOMETIMES, DeviationRates, Measured, RandomChooser

MIXES: Final = (
    DeviationRates(stalls=NEVER, pauses=True),
    DeviationRates(stalls=ALWAYS, provider=ALWAYS),
    DeviationRates(stalls=SOMETIMES),
    DeviationRates(stalls=ALWAYS),
    DeviationRates(stalls=NEVER, provider=ALWAYS),
)


@final
class Uniform(RandomChooser):
    """Throws one die for each choice."""

    def pick(self, n: int, who: Sequence[int]) -> int:
        return int(self._random() * n)


@final
class RandomPolicy:
    """Uniform choices, from another seed in every run."""

    NAME: ClassVar = "random"

    def __init__(self, *, seed: int, level: Level) -> None:
        self._seed = seed
        self._level = level
        self._runs = 0
        self._measured = Measured()

    def plan(self) -> Plan | None:
        self._runs += 1
        mix = MIXES[self._runs % len(MIXES)]
        chooser = Uniform(dice(self._seed, self.NAME, self._runs), mix, **self._measured.options())
        return Plan(chooser, self._level, self.NAME)

    def learn(self, record: Recorder) -> None:
        self._measured.learn(record)

    @property
    def proved(self) -> str | None:
        return None
