"""How much the tests try: enough for each change in `make test`, far more in `make deep`.

A test that searches or goes through a product of cases takes its numbers from here. The fast number comes
from how soon the faults that it is to find are found; the deep one from the time there is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import product
from typing import Final, TypeVar

import pytest

DEEP: Final = os.environ.get("WAVETANK_DEEP") == "1"

T = TypeVar("T")


def n_of(fast: int, deep: int) -> int:
    """`fast`, or `deep` in the deep tests."""
    return deep if DEEP else fast


def one_in(every: int, cases: Sequence[T]) -> Sequence[T]:
    """All cases in the deep tests, otherwise one in `every`, spread evenly over them.

    Where the cases are a product, `every` shares no divisor with the length of its innermost axis.
    """
    return cases if DEEP else cases[::every]


def in_turn(number: int, among: Sequence[T]) -> Sequence[T]:
    """All of `among` in the deep tests, otherwise the one whose turn it is for case `number`."""
    return among if DEEP else [among[number % len(among)]]


def by_turns(**axes: Sequence[object]) -> pytest.MarkDecorator:
    """Parametrize a test by combinations of values; those of the last axis take turns outside the deep tests.

    Any two values of two axes still meet where the last axis is no longer than one of the others.
    """
    *others, last = axes.values()
    cases = [
        (*(value for _, value in chosen), value)
        for chosen in product(*(list(enumerate(axis)) for axis in others))
        for value in in_turn(sum(place for place, _ in chosen), last)
    ]
    return pytest.mark.parametrize(tuple(axes), cases)
