"""The roundest number between two: what a person would have written, where the log leaves room."""

from __future__ import annotations

from typing import Final

from ..clock import HOUR, MILLISECOND, MINUTE, SECOND

_TIMES: Final = tuple(
    part * unit
    for unit, parts in (
        (HOUR, (1,)),
        (MINUTE, (10, 5, 1)),
        (SECOND, (30, 10, 5, 1)),
        (MILLISECOND, (500, 100, 50, 10, 5, 1)),
        (1_000, (500, 100, 50, 10, 5, 1)),
        (1, (500, 100, 50, 10, 5, 1)),
    )
    for part in parts
)


def round_time(low: int, high: int) -> int:
    """The roundest length of time in nanoseconds from `low` to `high`, both included; of equals the longest.

    >>> round_time(1_930_000_000, 2_040_000_000), round_time(7, 7)
    (2000000000, 7)
    """
    return next((unit * (high // unit) for unit in _TIMES if unit * (high // unit) >= low), high)


def round_count(low: int, high: int) -> int:
    """The roundest number from `low` to `high`, both included; of equals the largest.

    >>> round_count(57, 63), round_count(240, 260), round_count(7, 8)
    (60, 250, 8)
    """
    unit = int(10 ** len(str(high)))
    while unit > 1:
        for part in (unit, unit // 2):
            if part * (high // part) >= low:
                return part * (high // part)
        unit //= 10
    return high
