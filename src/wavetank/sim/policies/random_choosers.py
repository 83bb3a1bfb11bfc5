"""What choosers that may starve a task share: a fair tail, and dice for stalls and the provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from ..budgets import STEPS_WITHOUT_PROGRESS
from ..choices import Kind, Recorder
from ..dice import Dice

ALWAYS: Final = 1.0
SOMETIMES: Final = 0.3
NEVER: Final = 0.0

_AHEAD: Final = 4
_AT_LEAST: Final = 1_000
_AT_MOST: Final = STEPS_WITHOUT_PROGRESS // 2
"""At least half of a step budget is spent in fair order, or its end would prove no livelock."""


def tail_after(measured: int) -> int:
    """So many choices a chooser may make before the fair tail, given how many the FIFO run had."""
    return min(_AHEAD * measured + _AT_LEAST, _AT_MOST)


@final
@dataclass(slots=True)
class Longest:
    """The most choices, and among them the most of who goes next, that a run of the search has made."""

    choices: int = 0
    picks: int = 0

    def learn(self, record: Recorder) -> None:
        """Take in one more run."""
        self.include(len(record), len(record.went))

    def include(self, choices: int, picks: int) -> None:
        """Take in a run that made so many."""
        self.choices = max(self.choices, choices)
        self.picks = max(self.picks, picks)

    @property
    def tail(self) -> int:
        """The choice of a run at which its fair tail begins."""
        return tail_after(self.choices)


@final
@dataclass(frozen=True, slots=True)
class DeviationRates:
    """How often a run stalls and lets the provider do what its seed does not say.

    `ALWAYS` picks among all options alike; below that it is the chance to deviate at all.
    """

    stalls: float
    provider: float = NEVER


class RandomChooser(ABC):
    """Chooses by dice; after `tail` choices it takes 0 for ever, so that it causes no livelock."""

    def __init__(self, dice: Dice, mix: DeviationRates, *, tail: int) -> None:
        self._random = dice.random
        self._mix = mix
        self._left = tail

    def choose(self, kind: Kind, n: int, who: Sequence[int], /) -> int:
        self._left -= 1
        if self._left < 0:
            return 0
        if kind == "run":
            return self.pick(n, who)
        if kind == "switch":
            return self.switch(n, who)
        return self._deviate(n, self._mix.stalls if kind == "stall" else self._mix.provider)

    def switch(self, n: int, who: Sequence[int]) -> int:
        """Which thread goes on where threads meet; 0 is the one that runs.

        Most of the time it is that one: a race needs few switches, and with one at every second
        point no thread gets far before the others.
        """
        return self._deviate(n, SOMETIMES)

    def _deviate(self, n: int, chance: float) -> int:
        if chance >= ALWAYS:
            return int(self._random() * n)
        if chance and self._random() < chance:
            return 1 + int(self._random() * (n - 1))
        return 0

    @abstractmethod
    def pick(self, n: int, who: Sequence[int]) -> int:
        """Which of those who can run goes next."""


@final
class FifoChooser(RandomChooser):
    """FIFO order; only stalls, switches of threads and the provider are left to the dice."""

    def pick(self, n: int, who: Sequence[int]) -> int:
        return 0
