"""A world in real time: the same fake, met by clients on the machine's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from ..clock import ClockFrom, real_epoch_ns
from ..provider.naming import is_loopback
from ..scenario import Scenario
from ..seams.real_time import RealClock, RealWaits
from .assembly import Parts, assemble


@final
class RealWorld:
    """One run's parts in real time; connections to this machine go through untouched."""

    def __init__(self, scenario: Scenario, *, seed: int) -> None:
        self.clock = RealClock()
        self.parts = assemble(
            scenario,
            self.clock,
            RealWaits(),
            seed=seed,
            backend="real",
            epoch_ns=real_epoch_ns(),
            lets_through=is_loopback,
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
            lets_through=is_loopback,
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
