"""How often each item has been asked for."""

from __future__ import annotations

from typing import Final, final

KEPT: Final = 1 << 16
"""As many items are remembered; the one not asked for the longest is forgotten first."""


@final
class Attempts:
    """Counts the requests of each item, in memory that does not grow for ever."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: dict[str, int] = {}

    def count(self, item: str) -> int:
        """How many requests of an item came before this one, which counts from now on."""
        nth = self._asked.pop(item, 0)
        self._asked[item] = nth + 1
        if len(self._asked) > KEPT:
            del self._asked[next(iter(self._asked))]
        return nth
