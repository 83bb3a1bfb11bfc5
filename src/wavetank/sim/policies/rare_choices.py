"""Choices that a run takes once at most, or seldom: pauses, passed deadlines, interruptions.

A run asks for them before nearly every step. Were each answer a throw of the dice, most would come
near the beginning, and what lies behind would hardly be tried. So it is drawn before the run
whether there is one, and at which question; how many questions there are, the FIFO run says.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, final

from ..choices import Kind, Recorder
from ..dice import Dice, dice

ONCE: Final[tuple[Kind, ...]] = ("deadline", "interruption")
"""A run has one of each at most."""

_CHANCE: Final = 0.5
"""So many runs have one: the other half looks for what fails without, and some checks judge only that."""

MOST_PAUSES: Final = 8
"""A run has so many at most, 0.4 s in all: half of a second is the shortest time-out in use."""

_OFTEN: Final = 0.2
"""How likely one is at each question where a run has few of them."""


@final
class Asked:
    """How often the runs so far have asked for each kind: at first in FIFO order."""

    def __init__(self) -> None:
        self._times: Counter[str] | None = None

    def learn(self, record: Recorder) -> None:
        """Take in the first run, which is FIFO."""
        if self._times is None:
            self._times = Counter[str](record.kinds)

    def times(self, kind: Kind) -> int:
        """How often the FIFO run asked."""
        return 0 if self._times is None else self._times[kind]


@final
class RareChoices:
    """What one run answers: yes once, at a question drawn evenly from those of the FIFO run."""

    __slots__ = ("_at", "_chance", "_pauses", "_random")

    def __init__(self, chooser_dice: Dice, asked: Asked, *, pauses: bool) -> None:
        self._at: dict[Kind, int] = {}
        self._pauses = MOST_PAUSES if pauses else 0
        if not pauses and not any(map(asked.times, ONCE)):
            return  # most runs ask for none of it, and dice are as dear as many steps of a program
        # Dice of its own: what a run does otherwise is to stay what it is without rare choices.
        self._random = dice("rare", *chooser_dice.getstate()[1][:2]).random
        for kind in ONCE:
            times = asked.times(kind)
            if times and self._random() < _CHANCE:
                self._at[kind] = int(self._random() * times)
        self._chance = min(_OFTEN, MOST_PAUSES / max(asked.times("pause"), 1))

    def pauses(self) -> bool:
        """Whether time passes here, where no deadline is near."""
        if not self._pauses or self._random() >= self._chance:
            return False
        self._pauses -= 1
        return True

    def once(self, kind: Kind) -> bool:
        """Whether it happens at this question."""
        left = self._at.get(kind)
        if left is None:
            return False
        if left:
            self._at[kind] = left - 1
            return False
        del self._at[kind]
        return True
