"""The seeded generator: every random pick of a search comes from here, keyed by its seed."""

from __future__ import annotations

from random import Random as Dice

__all__ = ["Dice", "dice"]


def dice(*key: str | int) -> Dice:
    """A generator that depends only on the key, in every process.

    Use `random()` only: the other methods may differ between versions of Python.

    >>> dice(7, "pct", 1).random() == dice(7, "pct", 1).random()
    True
    """
    return Dice(":".join(map(str, key)))
