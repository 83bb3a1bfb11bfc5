"""Counts in words."""

from __future__ import annotations


def times(count: int) -> str:
    """A number of times in words.

    >>> times(1), times(3)
    ('once', '3 times')
    """
    return "once" if count == 1 else f"{count} times"


def counted(count: int, thing: str, things: str | None = None) -> str:
    """A number of things in words; `things` is the plural if it is irregular.

    >>> counted(1, "pause"), counted(2, "pause"), counted(2, "try", "tries")
    ('1 pause', '2 pauses', '2 tries')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {things or f'{thing}s'}"
