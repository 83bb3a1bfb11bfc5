"""A request in flight, and what its outcome needs to know: the requests before it, when to come back."""

from __future__ import annotations

from typing import Final, final

from .barriers import Barrier
from .content import NOTHING
from .limiter import Stay
from .model import Outcome
from .request import Request
from .timing import Timetable

_IMMEDIATELY: Final = Timetable(start=0)

REMEMBERED_ITEMS: Final = 1 << 16
"""Items whose requests are counted: a few megabytes at most, also in a server that runs for days."""


@final
class OpenRequest:
    """A request in flight: its outcome once that is decided, and the parts still to send."""

    __slots__ = (
        "barrier",
        "content",
        "due",
        "index",
        "nth",
        "order",
        "outcome",
        "request",
        "stay",
        "timetable",
    )

    def __init__(self, request: Request, order: int, nth: int) -> None:
        self.request = request
        self.order = order
        self.nth = nth
        self.stay: Stay | None = None
        self.barrier: Barrier | None = None
        self.content = NOTHING
        self.outcome: Outcome | None = None
        self.timetable = _IMMEDIATELY
        self.index = 0
        self.due = -1


@final
class RequestCounts:
    """Counts the requests of each item, in bounded memory: the item idle for the longest is forgotten."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def count(self, item: str) -> int:
        """How many requests of an item came before this one, which counts from now on."""
        nth = self._counts.pop(item, 0)
        self._counts[item] = nth + 1
        if len(self._counts) > REMEMBERED_ITEMS:
            del self._counts[next(iter(self._counts))]
        return nth
