"""Instants and lengths of time on a grid."""

from __future__ import annotations

from hypothesis import strategies as st

from ..clock import Duration, after_delay

TICK = 0.05
"""Seconds between two points of the grid, unless a strategy is told otherwise."""


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
        raise ValueError(f"tick={tick!r}: the grid needs a tick above 0 seconds")
    whole = after_delay(most) // after_delay(tick)
    if whole < least:
        raise ValueError(
            f"{most!r} s is shorter than {least} tick(s) of {tick!r} s: write more, or a shorter tick"
        )
    return whole
