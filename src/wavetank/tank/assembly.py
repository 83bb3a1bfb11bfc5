"""Put the parts of a world together: provider, desk, event log, ledger, tank."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

from ..clock import EPOCH_NS, Clock
from ..events import EventKind, EventLog, Header, RunEnd
from ..provider.machine import Provider
from ..provider.picks import Choose
from ..scenario import Scenario, digest, lets_through
from ..seams.desk import Desk
from ..seams.waiting import Waits
from ..sim.ended import Ended
from .fake_llm import FakeLLM
from .ledger import Ledger
from .tank import Tank


@final
@dataclass(frozen=True, slots=True)
class Parts:
    """What every world has, whatever its time."""

    log: EventLog
    desk: Desk
    tank: Tank

    def ended(self, end: Ended) -> None:
        """The program came to its end: close the log."""
        self.desk.catch_up()
        error = None if end.error is None else type(end.error).__name__
        at = self.desk.clock.now()
        self.log.finish(
            RunEnd(
                how=end.how,
                at=at,
                steps=end.steps,
                blocked=end.blocked,
                late_steps=end.late_steps,
                stuck=end.stuck,
                spinning=end.spinning,
                watched=self.tank.watching.at_the_end(),
                error=error,
            )
        )


def assemble(
    scenario: Scenario,
    clock: Clock,
    waits: Waits,
    *,
    seed: int,
    backend: str,
    epoch_ns: int = EPOCH_NS,
    admit: Callable[[], object] = lambda: None,
    lets_through: Callable[[str], bool] = lambda _: False,
    progress: Callable[[], object] = lambda: None,
    delivered: Callable[[], object] = lambda: None,
    choose: Choose | None = None,
) -> Parts:
    """Build the parts around a clock.

    Raises:
        ValueError: the seed is negative or has more than 64 bits.
    """
    log = EventLog(_header(scenario, checked_seed(seed), backend))
    desk = Desk(
        Provider(scenario, seed=seed, choose=choose, epoch_ns=epoch_ns),
        clock,
        log,
        waits=waits,
        epoch_ns=epoch_ns,
        faults=scenario.fault,
        admit=admit,
        lets_through=lets_through,
        progress=delivered,
    )

    def note_outcome(kind: EventKind, /, **fields: Any) -> None:
        desk.note(kind, **fields)
        progress()

    ledger = Ledger(note_outcome, desk.secrets.hide)
    tank = Tank(fake_llm=FakeLLM(desk, log), ledger=ledger, events=log, scenario=scenario, clock=clock)
    return Parts(log, desk, tank)


def _header(scenario: Scenario, seed: int, backend: str) -> Header:
    return Header(
        scenario=scenario.name,
        digest=digest(scenario),
        seed=seed,
        backend=backend,
        waves=len(scenario.wave),
        faults=len(scenario.fault),
        passable=lets_through(scenario),
    )


def checked_budget(max_virtual_seconds: float | None) -> float | None:
    """The budget of virtual time, if it is one; `None` stands for the default.

    Raises:
        ValueError: not above 0, or without an end.
    """
    if max_virtual_seconds is not None and not 0 < max_virtual_seconds < math.inf:
        raise ValueError(
            f"max_virtual_seconds={max_virtual_seconds}: the budget is a number of seconds above 0"
        )
    return max_virtual_seconds


def checked_seed(seed: int) -> int:
    """The seed, if it is one.

    Raises:
        ValueError: negative, or more than 64 bits.
    """
    if not isinstance(seed, int) or not 0 <= seed < 1 << 64:
        raise ValueError(f"seed={seed!r}: a seed is a whole number from 0 to 2**64 - 1")
    return seed
