"""Schedules of one test are handed out to workers in any order, and come back in any order."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from wavetank.campaign.handout import FIRST, Handout
from wavetank.campaign.protocol import Order, Outcome, RangeMade, SearchEnd, SearchOverrides
from wavetank.campaign.state import SavedTest, SearchedTest
from wavetank.tank.search.search import BLOCK

TEST = "test_x.py::test_x"
Made = tuple[int, tuple[int, int]]
"""A schedule: its number, and what its worker knew of the longest run before its block."""


class Program:
    """A program whose schedule `k` is what it is by `k` and by the longest run before its block."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def length(self, made: Made) -> tuple[int, int]:
        """Choices and picks of a run: a longer one is met ever more seldom."""
        draw = random.Random(f"{self._seed} {made}").random()
        return int(1 / (draw + 0.001)), int(draw * 40)

    def make(self, order: Order, until: int | None = None) -> tuple[list[Made], RangeMade]:
        """Make a range, or its beginning, as a worker does: it learns after each block."""
        learnt = longest = order.longest
        block: list[Made] = []
        made: list[Made] = []
        for number in range(order.first, until or order.until):
            made.append((number, learnt))
            block.append(made[-1])
            choices, picks = self.length(made[-1])
            longest = max(longest[0], choices), max(longest[1], picks)
            if (number + 1) % BLOCK == 0:
                learnt = longest
        digests = [hash(each) for each in made]
        return made, RangeMade(
            len(made), longest=longest, learnt=learnt, unmet=(), schedules=digests, seconds=len(made) / 300
        )


def searched() -> SearchedTest:
    return SearchedTest(TEST, SavedTest(SearchOverrides()))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_any_workers_make_the_same_schedules(seed: int, workers: int) -> None:
    """However many workers, in whatever order they end, and if some are lost or end early."""
    program, dice = Program(seed), random.Random(seed)
    test = searched()
    handout = Handout(test, 3000)
    open_orders: list[Order] = []
    lost: set[int] = set()
    while not handout.over:
        while len(open_orders) < workers and (order := handout.next(workers)):
            assert order.first % BLOCK == 0 or order.until <= order.first // BLOCK * BLOCK + BLOCK
            open_orders.append(order)
        order = open_orders.pop(dice.randrange(len(open_orders)))
        if order.first not in lost and dice.random() < 0.2:
            lost.add(order.first)
            handout.take(order, Outcome("w", lost="killed"))
            continue
        until = dice.randrange(order.first, order.until) + 1 if dice.random() < 0.2 else order.until
        handout.take(order, Outcome("w", program.make(order, until)[1]))
    expected, reported = program.make(Order(TEST, 0, 3000))
    assert (test.schedules, test.end) == (3000, None)
    assert test.distinct.digests == sorted(map(hash, expected))
    assert (test.longest_at(3000), test.longest_at(3072)) == (reported.learnt, reported.longest)


def drive(handout: Handout, answer: Callable[[Order], Outcome], workers: int) -> list[Order]:
    """Hand out to so many workers, the last of which always ends first; the orders in their order."""
    given: list[Order] = []
    open_orders: list[Order] = []
    while not handout.over:
        while len(open_orders) < workers and (order := handout.next(workers)):
            open_orders.append(order)
            given.append(order)
        order = open_orders.pop()
        handout.take(order, answer(order))
    return given


@pytest.mark.parametrize("workers", [1, 3])
def test_the_lowest_failing_schedule_counts(workers: int) -> None:
    """Schedules 500 and 900 fail: a worker that comes back with 900 first changes nothing."""

    def answer(order: Order) -> Outcome:
        bad = [each for each in (500, 900) if order.first <= each < order.until]
        runs = (bad[0] if bad else order.until) - order.first
        failed = f"schedule {bad[0]}" if bad else ""
        return Outcome("w", RangeMade(runs, failed=failed, seconds=runs / 200 + 0.001))

    test = searched()
    handout = Handout(test, 5000)
    given = drive(handout, answer, workers)
    assert test.schedules == 500
    assert handout.failing is not None
    assert handout.failing.made.failed == "schedule 500"
    assert max(order.first for order in given) < 2000


def test_a_range_that_is_lost_twice_ends_the_test() -> None:
    """Once may be the worker's fault; twice is the program's."""
    test = searched()
    given = drive(Handout(test, 100), lambda _: Outcome("host", lost="its process ended with status 77"), 1)
    assert [order.first for order in given] == [0, 0]
    assert test.end == SearchEnd(TEST, broken="its process ended with status 77 (host)")


def test_one_worker_begins() -> None:
    """Until it is known how long a schedule takes; for a short rest one worker is enough."""
    handout = Handout(searched(), 200)
    first = handout.next(8)
    assert first is not None
    assert (first.first, first.until, handout.next(8)) == (0, FIRST, None)
    handout.take(first, Outcome("w", RangeMade(FIRST, seconds=FIRST / 1000)))
    second = handout.next(8)
    assert second is not None
    assert (second.first, second.until, handout.next(8)) == (FIRST, BLOCK, None)


def test_slow_schedules_are_handed_out_one_by_one() -> None:
    """So that all workers have some, and the display moves."""
    handout = Handout(searched(), 200)
    first = handout.next(2)
    assert first is not None
    handout.take(first, Outcome("w", RangeMade(FIRST, seconds=30.0)))
    orders = [handout.next(3), handout.next(3), handout.next(3)]
    assert [(order.first, order.until) for order in orders if order] == [(16, 17), (17, 18), (18, 19)]


def test_a_policy_that_does_not_draw_is_left_to_one_search() -> None:
    """Nothing is handed out of it, and nothing counted earlier counts."""
    test = SearchedTest(TEST, SavedTest(SearchOverrides(), schedules=50))
    handout = Handout(test, 900)
    order = handout.next(2)
    assert order is not None
    handout.take(order, Outcome("w", RangeMade(samples=False)))
    assert (handout.next(2), test.alone, test.schedules) == (None, True, 0)


def test_a_test_that_is_over_is_not_handed_out_again() -> None:
    """It raised an error, or was skipped: there is no worker that could go on with it."""
    test = searched()
    handout = Handout(test, 900)
    end = SearchEnd(TEST, skipped="no GPU")
    order = handout.next(1)
    assert order is not None
    handout.take(order, Outcome("w", over=True, ends=(end,)))
    assert (handout.over, handout.failing, test.end) == (True, None, end)
