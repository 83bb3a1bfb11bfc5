"""What choosers that may starve a task share: a fair tail, and dice for stalls and the provider."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, TypedDict, final

from ..budgets import STEPS_WITHOUT_PROGRESS
from ..choices import Kind, Recorder
from ..dice import Dice
from .rare_choices import Asked, RareChoices

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
@dataclass(frozen=True, slots=True)
class DeviationRates:
    """How often a run stalls and lets the provider do what its seed does not say.

    `ALWAYS` picks among all options alike; below that it is the chance to deviate at all. Few runs have
    `pauses`: they show little, and move everything else.
    """

    stalls: float
    provider: float = NEVER
    pauses: bool = False


class MeasuredOptions(TypedDict):
    """What a `RandomChooser` is given of a `Measured`."""

    tail: int
    asked: Asked


@final
@dataclass(slots=True)
class Measured:
    """What is known of the program from its runs: how many choices they had, and what they asked for.

    `choices` is the most that a run made, and `picks` the most of who goes next.
    """

    choices: int = 0
    picks: int = 0
    asked: Asked = field(default_factory=Asked)

    def options(self) -> MeasuredOptions:
        """What a chooser of the next run is to know."""
        return {"tail": tail_after(self.choices), "asked": self.asked}

    def learn(self, record: Recorder) -> None:
        """Take in a run."""
        self.include(len(record), len(record.went))
        self.asked.learn(record)

    def include(self, choices: int, picks: int) -> None:
        """Take in a run that made so many."""
        self.choices = max(self.choices, choices)
        self.picks = max(self.picks, picks)


class RandomChooser(ABC):
    """Chooses by dice; after `tail` choices it takes 0 for ever, so that it causes no livelock.

    Without `asked` it takes no rare choices.
    """

    def __init__(self, dice: Dice, mix: DeviationRates, *, tail: int, asked: Asked | None = None) -> None:
        self._random = dice.random
        self._mix = mix
        self._left = tail
        self._rare = RareChoices(dice, asked or Asked(), pauses=mix.pauses)
        self._which: Kind | None = None
        self._met: dict[int, float] = {}

    def choose(self, kind: Kind, n: int, who: Sequence[int], /) -> int:
        self._left -= 1
        if self._left < 0:
            return 0
        if kind == "run":
            return self.pick(n, who)
        if kind == "pause":
            return int(self._rare.pauses()) if self._mix.pauses else 0
        if kind == "stall":
            return self._deviate(n, self._mix.stalls)
        if kind == "switch":
            return self.switch(n, who)
        if kind == "provider":
            if len(who) > 2 and who[2] and self._mix.provider >= ALWAYS:
                return self._meets(who[0], who[1])
            return self._deviate(n, self._mix.provider)
        if kind == "test":
            return self._for_test(n, who)
        return self._once(kind, n)

    def _meets(self, part: int, seeded: int) -> int:
        """Whether a wave or fault meets a request otherwise than by the seed.

        How likely it meets one is drawn for each run, so that of n requests it meets none, one or all as
        often as any other number.
        """
        if part not in self._met:
            self._met[part] = self._random()
        return int((self._random() < self._met[part]) != bool(seeded))

    def _once(self, kind: Kind, n: int) -> int:
        """Whether it happens now; when it does, the next question of its kind is which of several."""
        if self._which == kind:
            self._which = None
            return int(self._random() * n)
        happens = self._rare.once(kind)
        if happens and kind == "deadline":
            self._which = kind
        return int(happens)

    def _for_test(self, n: int, weights: Sequence[int]) -> int:
        """Each option as likely as its weight says, or as the others."""
        if not weights:
            return int(self._random() * n)
        shares = list(accumulate(weights))
        return bisect_right(shares, self._random() * shares[-1], hi=n - 1)

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
