"""URW: who has more steps ahead is likelier to go next, which samples interleavings most evenly.

The weights are those of the FIFO run: how often each task or thread was one to choose.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate
from typing import ClassVar, final

from ..choices import Level, Recorder
from ..dice import Dice, dice
from .plan import Plan, Sampling
from .random import MIXES
from .random_choosers import DeviationRates, RandomChooser
from .rare_choices import Asked


class _AtLeastOne(dict[int, int]):
    """Weights; an entity without one weighs 1."""

    def __missing__(self, number: int) -> int:
        return 1


@final
class Weighted(RandomChooser):
    """Picks in proportion to the steps that each entity had in the FIFO run and has not had yet."""

    def __init__(
        self, dice: Dice, mix: DeviationRates, *, tail: int, weights: Counter[int], asked: Asked | None = None
    ) -> None:
        super().__init__(dice, mix, tail=tail, asked=asked)
        self._weights = _AtLeastOne(weights)

    def pick(self, n: int, who: Sequence[int]) -> int:
        weights = self._weights
        shares = list(accumulate(map(weights.__getitem__, who)))
        at = bisect_right(shares, self._random() * shares[-1], hi=n - 1)
        number = who[at]
        if weights[number] > 1:
            weights[number] -= 1
        return at


@final
class UrwPolicy(Sampling):
    """Weighted choices, from another seed in every run."""

    NAME: ClassVar = "urw"

    def __init__(self, *, seed: int, level: Level) -> None:
        super().__init__(seed=seed, level=level)
        self._weights: Counter[int] | None = None

    def plan(self, number: int) -> Plan | None:
        return Plan(self.chooser(number, MIXES[number % len(MIXES)]), self.level, self.NAME)

    def chooser(self, number: int, mix: DeviationRates) -> Weighted:
        """The chooser of the schedule with this number."""
        weights = self._weights or Counter()
        key = dice(self.seed, self.NAME, number)
        return Weighted(key, mix, weights=weights, **self.measured.options())

    def learn(self, record: Recorder) -> None:
        super().learn(record)
        if self._weights is None:
            self._weights = Counter(record.went)
