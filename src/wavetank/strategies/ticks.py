"""Instants and lengths of time in whole ticks."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from ..clock import Duration, after_delay

TICK = 0.05
"""Seconds of a tick by default: 20 instants in a second, so that events often coincide."""


@cache  # to make a strategy takes longer than to draw from it
def ticks(tick: float, *, least: int = 0, most: float) -> st.SearchStrategy[Duration]:
    """Lengths from `least` ticks to `most` seconds, the shortest first.

    Raises:
        ValueError: the tick is not above 0, or `most` lies below `least` ticks.
    """
    return st.integers(least, steps(tick, least=least, most=most)).map(
        lambda number: Duration(number * after_delay(tick))
    )


def steps(tick: float, *, least: int = 0, most: float) -> int:
    """How many ticks fit in `most` seconds.

    Raises:
        ValueError: the tick is not above 0, or `most` lies below `least` ticks.
    """
    if not tick > 0:
        raise ValueError(f"tick={tick!r}: a tick must be longer than 0 seconds")
    whole = after_delay(most) // after_delay(tick)
    if whole < least:
        raise ValueError(
            f"{most!r} s is shorter than {least} tick(s) of {tick!r} s: give more, or a shorter tick"
        )
    return whole
