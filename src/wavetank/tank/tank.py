"""The tank: one simulated world, as a program under test sees it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from typing import Final, final

from ..checks import order
from ..clock import SECOND, Clock
from ..events import EventLog
from ..scenario import Scenario
from .fake_llm import FakeLLM
from .ledger import Ledger
from .tracing import Tracing
from .watching import Watching
from .workload import Workload

EXPECTATIONS: Final = ("herd", "in_flight", "order", "paid_per_item", "requests_per_item", "starvation")
SHARES: Final = ("herd",)
"""Those that are a part of the whole; the others are whole numbers."""

ORDERS: Final = {"input": order.INPUT}
"""The words for an order of results, and what the header of the log has for them."""


@final
class Tank:
    """Clock, fake, ledger and event log of one run."""

    def __init__(
        self,
        *,
        fake_llm: FakeLLM,
        ledger: Ledger,
        events: EventLog,
        scenario: Scenario,
        clock: Clock,
        tracing: Tracing,
    ) -> None:
        self.fake_llm = fake_llm
        self.ledger = ledger
        self.events = events
        self.scenario = scenario
        self.watching = Watching(events)
        """The counts given to `watch`."""
        self.tracing = tracing
        """The primitives given to `trace`."""
        self.workload: Workload | None = None
        """What the program is to do; `None` unless the run was given a workload."""
        self._clock = clock

    def now(self) -> float:
        """Seconds since the start of the run."""
        return self._clock.now() / SECOND

    def watch(self, name: str, count: Callable[[], float]) -> None:
        """Watch a count of the program's own, such as the permits that are lent out, under a name.

        `count` is called at once, with every event and at the end; it must not change anything.

        Raises:
            ValueError: a count of that name is watched already.
        """
        self.watching.add(name, count)

    def trace(self, *primitives: object, **named: object) -> None:
        """Log what happens to primitives, and who does it: each set, put, release and wait.

        `tank.trace(cooldown, jobs=queue)` takes events, queues, locks, conditions, semaphores,
        limiters, barriers and memory streams of asyncio, anyio, trio, threading and queue. In the
        log each has its keyword for a name, or that of the caller's variable. Without an argument
        all are traced that the program makes from here on. The schedule stays what it was.

        Raises:
            TypeError: something else was given.
        """
        frame = sys._getframe(1)
        for primitive in primitives:
            self.tracing.add(primitive, None, frame)
        for name, primitive in named.items():
            self.tracing.add(primitive, name, None)
        if not primitives and not named:
            self.tracing.add_all()

    def expect(self, **expectations: float | str) -> None:
        """Declare what a correct run may do.

        `paid_per_item=2`: answers an item may be given, for a client that hedges. `in_flight=8`:
        requests at one instant. `requests_per_item=6`: attempts on an item. `herd=0.5`: the share of
        the refused items that may come back at one instant. `starvation=50`: outcomes of others an
        item may have to go without a request. `order="input"`: results come as items were submitted.

        Raises:
            TypeError: no check judges an expectation of that name.
            ValueError: the number is below 1, the share not between 0 and 1, or there is no such order.
        """
        for name, value in expectations.items():
            if name not in EXPECTATIONS:
                near = difflib.get_close_matches(name, EXPECTATIONS, n=1)
                meant = f"did you mean {near[0]!r}? " if near else ""
                raise TypeError(
                    f"no check judges the expectation {name!r}; {meant}there are: {', '.join(EXPECTATIONS)}"
                )
            self.events.header.expects[name] = _checked(name, value)

    def __repr__(self) -> str:
        return f"<Tank {self.scenario.name} at {self.now():g} s>"


def _checked(name: str, value: float | str) -> float:
    """The expectation as the header of the log has it."""
    if name == order.NAME:
        if value not in ORDERS:
            raise ValueError(f"expect({name}={value!r}): there is: {', '.join(map(repr, ORDERS))}")
        return ORDERS[str(value)]
    if name in SHARES:
        if not isinstance(value, int | float) or not 0 < value <= 1:
            raise ValueError(f"expect({name}={value!r}): it must be a share above 0 and at most 1")
    elif not isinstance(value, int) or value < 1:
        raise ValueError(f"expect({name}={value!r}): it must be a whole number of at least 1")
    assert not isinstance(value, str)
    return value
