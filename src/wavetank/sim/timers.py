"""Virtual time: one instant for the whole run, and what is due when.

Every engine (the asyncio loop, the trio runner, plain threads) keeps its timers here, so
that client and provider share one order of events.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Protocol, final

from ..clock import SECOND, at_instant

_MOST_AT_ONCE: Final = 100
"""So many deadlines that are due as they are set may be set at one instant; the next ones wait for time."""

_FEW: Final = 16
"""So many entries are sooner looked at one by one than put in order."""


class Entry(Protocol):
    """Anything that `Timers` can hold; asyncio's `TimerHandle` fits."""

    def cancelled(self) -> bool: ...


@final
class Timer:
    """A plain callback due at an instant."""

    __slots__ = ("_callback", "when")

    def __init__(self, when: int, callback: Callable[[], object]) -> None:
        self.when = when
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def cancelled(self) -> bool:
        return self._callback is None

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()

    def __repr__(self) -> str:
        state = "cancelled" if self.cancelled() else f"due at {self.when} ns"
        return f"<Timer {state}>"


def up_to(heap: Sequence[tuple[Any, int, Any]], until: float) -> Iterator[tuple[Any, int, Any]]:
    """The entries of a heap whose first part is not above `until`, in no order; the rest is not looked at."""
    places = [0]
    while places:
        place = places.pop()
        if place < len(heap) and heap[place][0] <= until:
            yield heap[place]
            places += (2 * place + 1, 2 * place + 2)


def in_order(heap: Sequence[tuple[Any, int, Any]], until: float) -> Iterator[tuple[Any, int, Any]]:
    """The entries of a heap whose first part is not above `until`, by that part.

    What comes after the last one taken is not looked at.
    """
    ahead = [(heap[0][0], 0)] if heap and heap[0][0] <= until else []
    while ahead:
        _, place = heapq.heappop(ahead)
        yield heap[place]
        for below in (2 * place + 1, 2 * place + 2):
            if below < len(heap) and heap[below][0] <= until:
                heapq.heappush(ahead, (heap[below][0], below))


@final
class Timers:
    """The virtual clock of one run; integer nanoseconds, and it only moves forward."""

    __slots__ = (
        "_at_once",
        "_floor",
        "_floors",
        "_heap",
        "_instant",
        "_lent",
        "_sequence",
        "idle",
        "limit",
        "readings",
    )

    def __init__(self, *, limit: int | None = None) -> None:
        self._instant = 0
        self._at_once = 0
        self._floor = 0.0
        self._floors: dict[int, float] = {}
        self._heap: list[tuple[int, int, Any]] = []
        self._lent: deque[tuple[int, int, Timer]] = deque()
        self._sequence = 0
        self.limit = limit
        self.readings = 0
        """How often the program has read its clocks at this instant."""
        self.idle: Callable[[], bool] | None = None
        """Asked when nothing can run, before time moves on; True: something can run now."""

    def now(self) -> int:
        return self._instant

    def seconds(self) -> float:
        """What a clock of float seconds reads; never before a deadline that is due."""
        return max(self._instant / SECOND, self._floor)

    def instant_of(self, deadline: float) -> int:
        """The instant a float deadline stands for; once it has come, `seconds` is not before the deadline."""
        instant = at_instant(deadline)
        if instant / SECOND < deadline:
            if instant == self._instant:
                self._floor = max(self._floor, deadline)
            elif instant > self._instant:
                self._floors[instant] = max(self._floors.get(instant, 0.0), deadline)
        return instant

    def instant_to_call(self, deadline: float) -> int:
        """As `instant_of`; a nanosecond from now when too many that were due already were set at one instant.

        A wait may be too short for its end to differ from now in floats of seconds, such as the rest of a
        rounding error that a token bucket has left. Any real clock moves on while a program
        repeats it; one that stands still would hang the program.
        """
        instant = self.instant_of(deadline)
        if instant > self._instant:
            return instant
        self._at_once += 1
        return instant if self._at_once <= _MOST_AT_ONCE else self._instant + 1

    def call_at(self, when: int, callback: Callable[[], object]) -> Timer:
        timer = Timer(when, callback)
        self.push(when, timer)
        return timer

    def push(self, when: int, entry: Entry) -> None:
        """Hold `entry` until `when`; entries of one instant come out in the order they went in."""
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, entry))

    def next_due(self) -> int | None:
        """The earliest instant at which something is due, or `None`."""
        heap = self._heap
        while heap and heap[0][2].cancelled():
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def postpone(self, entry: Entry, by: int) -> None:
        """Let an entry be due later by so many nanoseconds, if it is held."""
        for place, (when, sequence, held) in enumerate(self._heap):
            if held is entry:
                self._heap[place] = when + by, sequence, held
                heapq.heapify(self._heap)
                return

    def is_due(self) -> bool:
        """Whether something is due by now."""
        due = self.next_due()
        return due is not None and due <= self._instant

    def may_be_due(self) -> bool:
        """Whether something is due by now that may have been cancelled."""
        return bool(self._heap) and self._heap[0][0] <= self._instant

    def pop_due(self) -> Any | None:
        """Take out the next entry that is due by now, or `None`."""
        due = self._pop_due()
        return None if due is None else due[2]

    def lend_due(self) -> Any | None:
        """As `pop_due`, for an event loop that makes a step of a `Timer`: until then `take_back` has it."""
        due = self._pop_due()
        if due is None:
            return None
        if isinstance(due[2], Timer):
            while self._lent and self._lent[0][2].cancelled():
                self._lent.popleft()
            self._lent.append(due)
        return due[2]

    def take_back(self) -> None:
        """Hold again, at their places, the timers of which event loops have made steps still to come.

        They are the provider's and those of threads. A loop that blocks, or has been stopped, does not come
        to them, and neither waits for the loop. In the loop the step of one that has fired does nothing.
        """
        while self._lent:
            due = self._lent.popleft()
            if not due[2].cancelled():
                heapq.heappush(self._heap, due)

    def _pop_due(self) -> tuple[int, int, Any] | None:
        heap, now = self._heap, self._instant
        while heap and heap[0][0] <= now:
            due = heapq.heappop(heap)
            if not due[2].cancelled():
                return due
        return None

    def __iter__(self) -> Iterator[Any]:
        """What is held, in no order, but for what was cancelled."""
        return (entry for _, _, entry in self._heap if not entry.cancelled())

    def upcoming(self, until: int, most: int) -> list[int]:
        """The next instants after now, and not after `until`, at which something is due; `most` of them."""
        heap, now = self._heap, self._instant
        if not heap or heap[0][0] > until:
            return []
        if len(heap) == 1:
            when, _, entry = heap[0]
            return [when] if now < when and not entry.cancelled() else []
        if len(heap) <= _FEW:
            found = {when for when, _, entry in heap if now < when <= until and not entry.cancelled()}
            return sorted(found)[:most] if len(found) > 1 else list(found)
        ahead: list[int] = []
        for when, _, entry in in_order(heap, until):
            if when > now and (not ahead or when != ahead[-1]) and not entry.cancelled():
                ahead.append(when)
                if len(ahead) == most:
                    break
        return ahead

    def advance(self, when: int) -> None:
        """Move the clock to `when`; an instant that has passed does not change it."""
        if when > self._instant:
            self._instant = when
            self._at_once = 0
            self.readings = 0
            self._floor = self._floors.pop(when, 0.0) if self._floors else 0.0

    def __repr__(self) -> str:
        return f"<Timers at {self._instant} ns, {len(self._heap)} held>"
