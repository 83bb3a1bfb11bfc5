"""Numbers of things in words."""

from __future__ import annotations


def times(count: int) -> str:
    """How often.

    >>> times(1), times(3)
    ('once', '3 times')
    """
    return "once" if count == 1 else f"{count} times"


def counted(count: int, thing: str, things: str | None = None) -> str:
    """How many, with the plural where it is one that is not made with an s.

    >>> counted(1, "pause"), counted(2, "pause"), counted(2, "try", "tries")
    ('1 pause', '2 pauses', '2 tries')
    """
    return f"{count} {thing}" if count == 1 else f"{count} {things or f'{thing}s'}"
