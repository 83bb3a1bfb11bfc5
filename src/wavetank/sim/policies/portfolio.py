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
from .plan import Plan
from .random import Uniform
from .random_choosers import ALWAYS, NEVER, SOMETIMES, DeviationRates, FifoChooser, Measured
from .urw import UrwPolicy


class _Turn(NamedTuple):
    order: Order
    policy: Literal["fifo", "random", "urw", "pct"]
    mix: DeviationRates
    depth: int = 2


_TURNS: Final = (
    _Turn("fifo", "fifo", DeviationRates(stalls=SOMETIMES)),
    _Turn("batch", "pct", DeviationRates(stalls=NEVER)),
    _Turn("batch", "pct", DeviationRates(stalls=ALWAYS)),
    _Turn("any", "urw", DeviationRates(stalls=NEVER)),
    _Turn("batch", "urw", DeviationRates(stalls=ALWAYS)),
    _Turn("batch", "pct", DeviationRates(stalls=ALWAYS)),
    _Turn("fifo", "fifo", DeviationRates(stalls=NEVER, provider=ALWAYS, pauses=True)),
    _Turn("batch", "pct", DeviationRates(stalls=ALWAYS), 3),
    _Turn("any", "random", DeviationRates(stalls=SOMETIMES, provider=ALWAYS, pauses=True)),
    _Turn("batch", "pct", DeviationRates(stalls=ALWAYS), 3),
    _Turn("fifo", "fifo", DeviationRates(stalls=ALWAYS, provider=SOMETIMES)),
    _Turn("any", "pct", DeviationRates(stalls=NEVER, pauses=True), 5),
    _Turn("batch", "pct", DeviationRates(stalls=ALWAYS, provider=SOMETIMES)),
    _Turn("batch", "urw", DeviationRates(stalls=ALWAYS, pauses=True)),
    _Turn("any", "urw", DeviationRates(stalls=ALWAYS)),
    _Turn("batch", "random", DeviationRates(stalls=ALWAYS, provider=ALWAYS)),
)


@final
class Portfolio:
    """Interleaves the policies; a turn that is wider than the level is taken within the level."""

    NAME: ClassVar = "portfolio"

    def __init__(self, *, seed: int, level: Level) -> None:
        self._seed = seed
        self._level = level
        self._runs = 0
        self._measured = Measured()
        self._urw = UrwPolicy(seed=seed, level=level)
        self._pct = PctPolicy(seed=seed, level=level)

    def plan(self) -> Plan | None:
        turn = _TURNS[self._runs % len(_TURNS)]
        self._runs += 1
        order = min(turn.order, self._level.order, key=ORDERS.index)
        level = replace(self._level, order=order)
        policy = turn.policy if order != "fifo" else "fifo"
        if policy == "urw":
            return Plan(self._urw.chooser(self._runs, turn.mix), level, policy)
        if policy == "pct":
            return Plan(self._pct.chooser(self._runs, turn.mix, turn.depth), level, policy)
        kind = Uniform if policy == "random" else FifoChooser
        chooser = kind(dice(self._seed, policy, self._runs), turn.mix, **self._measured.options())
        return Plan(chooser, level, policy)

    def learn(self, record: Recorder) -> None:
        self._measured.learn(record)
        self._urw.learn(record)
        self._pct.learn(record)

    @property
    def proved(self) -> str | None:
        return None
