"""Uniform: each of those who can run is as likely to go next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, final

from ..dice import dice
from .plan import Plan, Sampling
from .random_choosers import ALWAYS, NEVER, SOMETIMES, DeviationRates, RandomChooser

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
class RandomPolicy(Sampling):
    """Uniform choices, from another seed in every run."""

    NAME: ClassVar = "random"

    def plan(self, number: int) -> Plan | None:
        mix = MIXES[number % len(MIXES)]
        chooser = Uniform(dice(self.seed, self.NAME, number), mix, **self.measured.options())
        return Plan(chooser, self.level, self.NAME)
