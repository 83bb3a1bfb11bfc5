"""Hands out the schedules of a test by number, and puts together what comes back, in order."""

from __future__ import annotations

from typing import Final, final

from msgspec import structs

from ..tank.search.search import BLOCK, block_end
from .protocol import Order, Outcome, SearchEnd
from .state import SearchedTest

FIRST: Final = 16
"""The first schedules, which one worker makes: from them it is known how long a schedule takes."""
_TARGET: Final = 1.0
"""Real seconds that a range is to take: long beside what it costs to hand it out and to begin it, some ten
milliseconds, and short beside what a user waits for after Ctrl-C."""
_MOST: Final = 64 * BLOCK
"""Schedules of a range: its worker remembers all of them, which takes memory."""
_AHEAD: Final = 4
"""Ranges for each worker that may be made before the one that is next: a slow one holds nothing up."""


@final
class Handout:
    """The schedules of one test, up to number `target`, which several workers make at once.

    What a schedule is depends on the most choices that a run before its block has made. So a range is
    handed out with what is known of that, and made once more if an earlier range shows longer runs: that is
    rare after the first blocks.
    """

    def __init__(self, test: SearchedTest, target: int) -> None:
        self.test = test
        self._target = target
        self._open: dict[int, Order] = {}
        self._done: dict[int, tuple[Order, Outcome]] = {}
        self._lost: dict[int, None] = {}
        self._seconds: float | None = None
        """What a schedule took in the last range."""
        self.failing: Outcome | None = None
        """What showed that the next schedule fails."""
        self.over = False
        """Whether nothing else is to be handed out: a schedule fails, the test has ended, all is made."""
        self._look()

    def next(self, workers: int, seconds: float | None = None) -> Order | None:
        """The order for the next worker, of so many; `None` if none is worth it now."""
        if self.over or self.test.alone:
            return None
        if self._seconds is None and self._open:
            return None  # until it is known how long a schedule takes
        taken = sorted((order.first, order.until) for order in self._orders())
        if len(taken) >= _AHEAD * workers:
            return None
        number, end = self._gap(taken)
        if number >= end or (self._open and not self._is_worth_a_worker(number)):
            return None
        until = min(end, self._end_of_range(number))
        order = Order(self.test.test, number, until, self.test.longest_at(number), self.test.unmet, seconds)
        self._open[number] = order
        return order

    def _orders(self) -> list[Order]:
        return [*self._open.values(), *(order for order, _ in self._done.values())]

    def _gap(self, taken: list[tuple[int, int]]) -> tuple[int, int]:
        """The lowest numbers that no worker makes; none beyond a schedule that fails."""
        number = self.test.schedules
        stops = [first for first, (_, outcome) in self._done.items() if _ends(outcome)]
        limit = min([self._target, *stops])
        if number < BLOCK:
            limit = min(limit, BLOCK)  # what the first block shows is always news
        for first, until in taken:
            if first > number:
                return number, min(first, limit)
            number = max(number, until)
        return number, limit

    def _is_worth_a_worker(self, number: int) -> bool:
        """Whether what is left takes long enough, beside what others are making."""
        return (self._target - number) * (self._seconds or 0.0) > _TARGET / 2

    def _end_of_range(self, number: int) -> int:
        """A range lies within a block, or is made of whole blocks."""
        if self._seconds is None:
            return min(number + FIRST, block_end(number))
        many = int(_TARGET / max(self._seconds, _TARGET / _MOST))
        if many < BLOCK or number % BLOCK:
            return min(number + max(many, 1), block_end(number))
        return number + many // BLOCK * BLOCK

    def take(self, order: Order, outcome: Outcome) -> None:
        """Take what became of an order, and all that can be put together now.

        What was lost or made with too little knowledge is handed out again; what is lost twice ends the test.
        """
        del self._open[order.first]
        if outcome.made.runs:
            self._seconds = outcome.made.seconds / outcome.made.runs
        if outcome.lost and order.first not in self._lost:
            self._lost[order.first] = None
        else:
            self._done[order.first] = order, outcome
        while not self.over and self.test.schedules in self._done:
            self._put_together(*self._done.pop(self.test.schedules))

    def _put_together(self, order: Order, outcome: Outcome) -> None:
        made, test = outcome.made, self.test
        if not made.samples:
            test.restart()
        elif order.longest != test.longest_at(order.first):
            return
        else:
            if made.unmet is not None and test.unmet is not None:
                unmet = tuple(each for each in test.unmet if each in made.unmet)
                made = structs.replace(made, unmet=unmet)
            test.take(made)
        for end in (end for end in outcome.ends if end.test == test.test):
            test.take_end(end)
        if outcome.lost:
            test.take_end(SearchEnd(test.test, broken=f"{outcome.lost} ({outcome.worker})"))
        elif made.failed and not made.raised:
            self.failing = outcome
        test.over = test.over or outcome.over
        self._look()

    def _look(self) -> None:
        test = self.test
        all_made = not test.alone and test.schedules >= self._target
        self.over = test.over or test.end is not None or self.failing is not None or all_made


def _ends(outcome: Outcome) -> bool:
    return bool(outcome.made.failed or outcome.lost or outcome.over)
