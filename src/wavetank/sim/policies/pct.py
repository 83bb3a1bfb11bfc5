"""PCT: a random priority for each entity, and a few points at which the leading entity falls to the end.

Finds with known likelihood what needs few orderings. A task that yields falls to the end as
well, or it would spin for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, final

from ..dice import Dice, dice
from .plan import Plan, Sampling
from .random import MIXES
from .random_choosers import DeviationRates, RandomChooser
from .rare_choices import Asked

_IN_A_ROW: Final = 3
"""Who goes so often while others could has only yielded."""

DEPTHS: Final = (2, 3, 5)


class _Drawn(dict[int, float]):
    """Priorities; each is drawn when it is first asked for."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw

    def __missing__(self, number: int) -> float:
        priority = self[number] = self._draw()
        return priority


@final
class Prioritised(RandomChooser):
    """Lets the entity of the highest priority go, and lowers it at `depth - 1` points of the horizon."""

    def __init__(
        self,
        dice: Dice,
        mix: DeviationRates,
        *,
        tail: int,
        depth: int,
        horizon: int,
        asked: Asked | None = None,
    ) -> None:
        super().__init__(dice, mix, tail=tail, asked=asked)
        self._priorities = _Drawn(self._random)
        self._points = {int(self._random() * max(horizon, 1)) for _ in range(depth - 1)}
        self._chosen = 0
        self._lowest = 0.0
        self._last: int | None = None
        self._in_a_row = 0

    def pick(self, n: int, who: Sequence[int]) -> int:
        priorities = self._priorities
        leader = max(who, key=priorities.__getitem__)
        if self._chosen in self._points or (leader == self._last and self._in_a_row >= _IN_A_ROW):
            self._fall(leader)
            leader = max(who, key=priorities.__getitem__)
        self._chosen += 1
        self._in_a_row = self._in_a_row + 1 if leader == self._last else 1
        self._last = leader
        return who.index(leader)

    def switch(self, n: int, who: Sequence[int]) -> int:
        """As `pick`, but a thread that goes on has not yielded and does not fall for it."""
        leader = max(who, key=self._priorities.__getitem__)
        if self._chosen in self._points:
            self._fall(leader)
            leader = max(who, key=self._priorities.__getitem__)
        self._chosen += 1
        return who.index(leader)

    def _fall(self, number: int) -> None:
        self._lowest -= 1
        self._priorities[number] = self._lowest


@final
class PctPolicy(Sampling):
    """Priorities, from another seed in every run; depths take turns."""

    NAME: ClassVar = "pct"

    def plan(self, number: int) -> Plan | None:
        depth = DEPTHS[number % len(DEPTHS)]
        mix = MIXES[number // len(DEPTHS) % len(MIXES)]
        return Plan(self.chooser(number, mix, depth), self.level, self.NAME)

    def chooser(self, number: int, mix: DeviationRates, depth: int) -> Prioritised:
        """The chooser of the schedule with this number."""
        key = dice(self.seed, self.NAME, number)
        return Prioritised(key, mix, depth=depth, horizon=self.measured.picks, **self.measured.options())
