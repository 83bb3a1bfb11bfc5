"""A world in real time: the same fake, for clients on the machine's own clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

from ..clock import ClockFrom, real_epoch_ns
from ..provider.host_patterns import is_loopback
from ..scenario import Scenario
from ..seams.real_time import RealClock, RealWaits
from ..sim.origin import Origin, in_real_time
from .assembly import Parts, assemble
from .processor_pauses import pauses_logged


@final
class RealWorld:
    """One run's parts in real time; connections to this machine go through untouched.

    With `reaches_others` so do those to every host that the fake does not answer for. The fake answers for
    hosts that a user named, wherever they are.
    """

    def __init__(self, scenario: Scenario, *, seed: int, reaches_others: bool = False) -> None:
        self.clock = RealClock()
        self._lets_through = self._is_unknown if reaches_others else self._is_another_server_here
        self.parts = assemble(
            scenario,
            self.clock,
            RealWaits(),
            seed=seed,
            backend="real",
            origin=in_real_time,
            epoch_ns=real_epoch_ns(),
            lets_through=self._lets_through,
        )

        tank = self.parts.tank
        tank.invariants.watch = lambda: self.parts.log.listen(
            lambda event: tank.invariants.look(Origin(event.task, event.file, event.line))
        )

    def _is_unknown(self, host: str, port: int | None) -> bool:
        return self._is_another_server_here(host, port) or not self.parts.desk.hosts.knows(host, port)

    def _is_another_server_here(self, host: str, port: int | None) -> bool:
        return is_loopback(host) and not self.parts.desk.hosts.is_named(host, port)

    def another(self, scenario: Scenario, *, seed: int) -> Parts:
        """The parts of a second provider; its time starts now."""
        return assemble(
            scenario,
            ClockFrom(self.clock),
            RealWaits(),
            seed=seed,
            backend="real",
            origin=in_real_time,
            epoch_ns=real_epoch_ns(),
            lets_through=self._lets_through,
        )

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Let the HTTP clients of this process meet the fake until the block ends."""
        with self.parts.tank.fake_llm.installed(), pauses_logged(lambda: self.parts.desk):
            yield

    def close(self) -> None:
        """End the clients' connections and stop the clock's thread."""
        self.parts.close()
        self.clock.close()

    def __repr__(self) -> str:
        return f"<RealWorld {self.parts.log.header.scenario}>"
