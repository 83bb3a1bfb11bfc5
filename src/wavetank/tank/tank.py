"""The tank: one simulated world, as a program under test sees it."""

from __future__ import annotations

import difflib
from typing import Final, final

from ..clock import SECOND, Clock
from ..events import EventLog
from ..scenario import Scenario
from .fake_llm import FakeLLM
from .ledger import Ledger

EXPECTATIONS: Final = ("paid_per_item", "starvation")


@final
class Tank:
    """Clock, fake, ledger and event log of one run."""

    def __init__(
        self, *, fake_llm: FakeLLM, ledger: Ledger, events: EventLog, scenario: Scenario, clock: Clock
    ) -> None:
        self.fake_llm = fake_llm
        self.ledger = ledger
        self.events = events
        self.scenario = scenario
        self._clock = clock

    def now(self) -> float:
        """Seconds since the start of the run."""
        return self._clock.now() / SECOND

    def expect(self, **expectations: int) -> None:
        """Declare what a correct run may do, such as `paid_per_item=2` for a client that hedges.

        `starvation=50` says that no item goes without a request for 50 outcomes of others.

        Raises:
            TypeError: no check judges an expectation of that name.
            ValueError: the number is below 1.
        """
        for name, value in expectations.items():
            if name not in EXPECTATIONS:
                near = difflib.get_close_matches(name, EXPECTATIONS, n=1)
                meant = f"did you mean {near[0]!r}? " if near else ""
                raise TypeError(
                    f"no check judges the expectation {name!r}; {meant}there are: {', '.join(EXPECTATIONS)}"
                )
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"expect({name}={value!r}): it must be a whole number of at least 1")
            self.events.header.expects[name] = value

    def __repr__(self) -> str:
        return f"<Tank {self.scenario.name} at {self.now():g} s>"
