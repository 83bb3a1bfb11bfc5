"""The portfolio: all policies in turn, at every order the level allows, since no single one wins.

What needs time to pass shows soonest in FIFO order with stalls, what needs a reordered tie in
weighted orders, and what needs few orderings by priorities within a batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar, Final, Literal, NamedTuple, final

from ..choices import ORDERS, Level, Order, Recorder
from ..dice import dice
from .pct import PctPolicy
from .plan import Plan, Sampling
from .random import Uniform
from .random_choosers import ALWAYS, NEVER, SOMETIMES, DeviationRates, FifoChooser
from .urw import UrwPolicy


class _Turn(NamedTuple):
    order: Order
    policy: Literal["fifo", "random", "urw", "pct"]
    mix: DeviationRates
    depth: int = 2


_TURNS: Final = (
    _Turn("fifo", "fifo", DeviationRates(stalls=SOMETIMES)),
    _Turn("batch", "pct", DeviationRates(stalls=NEVER, provider=ALWAYS)),
    _Turn("batch", "pct", DeviationRates(stalls=ALWAYS)),
    _Turn("any", "urw", DeviationRates(stalls=NEVER, provider=ALWAYS)),
    _Turn("batch", "urw", DeviationRates(stalls=ALWAYS)),
    _Turn("any", "pct", DeviationRates(stalls=ALWAYS)),
    _Turn("fifo", "fifo", DeviationRates(stalls=NEVER, provider=ALWAYS, pauses=True)),
    _Turn("batch", "pct", DeviationRates(stalls=ALWAYS), 3),
    _Turn("any", "random", DeviationRates(stalls=SOMETIMES, provider=ALWAYS, pauses=True)),
    _Turn("any", "pct", DeviationRates(stalls=ALWAYS), 3),
    _Turn("fifo", "fifo", DeviationRates(stalls=ALWAYS, provider=SOMETIMES)),
    _Turn("any", "pct", DeviationRates(stalls=NEVER, pauses=True), 5),
    _Turn("batch", "pct", DeviationRates(stalls=ALWAYS, provider=SOMETIMES)),
    _Turn("batch", "urw", DeviationRates(stalls=ALWAYS, pauses=True)),
    _Turn("any", "urw", DeviationRates(stalls=ALWAYS)),
    _Turn("batch", "random", DeviationRates(stalls=ALWAYS, provider=ALWAYS)),
)


@final
class Portfolio(Sampling):
    """Interleaves the policies; a turn that is wider than the level is taken within the level."""

    NAME: ClassVar = "portfolio"

    def __init__(self, *, seed: int, level: Level) -> None:
        super().__init__(seed=seed, level=level)
        self._urw = UrwPolicy(seed=seed, level=level)
        self._pct = PctPolicy(seed=seed, level=level)
        self._urw.measured = self._pct.measured = self.measured

    def plan(self, number: int) -> Plan | None:
        turn = _TURNS[(number - 1) % len(_TURNS)]
        order = min(turn.order, self.level.order, key=ORDERS.index)
        level = replace(self.level, order=order)
        policy = turn.policy if order != "fifo" else "fifo"
        if policy == "urw":
            return Plan(self._urw.chooser(number, turn.mix), level, policy)
        if policy == "pct":
            return Plan(self._pct.chooser(number, turn.mix, turn.depth), level, policy)
        kind = Uniform if policy == "random" else FifoChooser
        chooser = kind(dice(self.seed, policy, number), turn.mix, **self.measured.options())
        return Plan(chooser, level, policy)

    def learn(self, record: Recorder) -> None:
        self._urw.learn(record)  # by which the others learn what was measured, too
