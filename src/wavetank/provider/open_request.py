"""A request in flight, and what its outcome needs to know: the requests before it, when to come back."""

from __future__ import annotations

from typing import Final, final

from ..clock import MILLISECOND, SECOND
from ..scenario import RetryAfter
from .barriers import Barrier
from .content import NOTHING
from .limiter import Stay
from .model import Outcome, WireRetryAfter
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


def wire_retry_after(rule: RetryAfter, wait: int | None, sent: int) -> WireRetryAfter | None:
    """The Retry-After of a refusal, as exactly as its form can express it.

    Args:
        rule: the form, and the value if the scenario gives one.
        wait: nanoseconds from the sending until a retry makes sense, `None` if never.
        sent: the Unix time at which the refusal is sent, by the provider's clock.
    """
    value = rule.value if rule.value is not None else wait
    if rule.form == "none" or value is None:
        return None
    if rule.form == "http-date":
        if rule.value is None:
            value = max(1, value)
        return WireRetryAfter("http-date", _round_up(sent + value, SECOND) - sent)
    if rule.value is None:
        value = _round_up(max(1, value), SECOND if rule.form == "seconds" else MILLISECOND)
    return WireRetryAfter(rule.form, int(value))


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit
