"""A world in real time: the same fake, met by clients on the machine's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from ..clock import ClockFrom, real_epoch_ns
from ..scenario import Scenario
from ..seams.hosts import is_loopback, is_unknown
from ..seams.real_time import RealClock, RealWaits
from .assembly import Parts, assemble


@final
class RealWorld:
    """One run's parts in real time; connections to this machine go through untouched.

    With `reaches_others` so do those to every host that the fake does not answer for.
    """

    def __init__(self, scenario: Scenario, *, seed: int, reaches_others: bool = False) -> None:
        self.clock = RealClock()
        self._lets_through = is_unknown if reaches_others else is_loopback
        self.parts = assemble(
            scenario,
            self.clock,
            RealWaits(),
            seed=seed,
            backend="real",
            epoch_ns=real_epoch_ns(),
            lets_through=self._lets_through,
        )

    def another(self, scenario: Scenario, *, seed: int) -> Parts:
        """The parts of a second provider; its time starts now."""
        return assemble(
            scenario,
            ClockFrom(self.clock),
            RealWaits(),
            seed=seed,
            backend="real",
            epoch_ns=real_epoch_ns(),
            lets_through=self._lets_through,
        )

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Let the HTTP clients of this process meet the fake until the block ends."""
        with self.parts.tank.fake_llm.installed():
            yield

    def close(self) -> None:
        """End the clients' connections and stop the clock's thread."""
        self.parts.desk.close()
        self.clock.close()

    def __repr__(self) -> str:
        return f"<RealWorld {self.parts.log.header.scenario}>"
