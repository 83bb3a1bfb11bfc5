"""Put the parts of a world together: provider, desk, event log, ledger, tank."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, final

from ..checks import hosts
from ..clock import EPOCH_NS, Clock
from ..events import EventKind, EventLog, Header, RunEnd, TaskEnd, Unseen, Wait, without_addresses
from ..provider.host_rules import hosts_of
from ..provider.picks import Choose
from ..provider.provider import Provider
from ..scenario import Scenario, digest, lets_through, load_scenario
from ..seams.desk import Desk
from ..seams.real_time import RealClock, RealWaits
from ..seams.sent_requests import Record
from ..seams.waiting import Waits
from ..sim import unseen_errors as sim
from ..sim.busy_loops import read_by_program
from ..sim.ended import Ended
from ..sim.origin import NOWHERE, Origin
from ..sim.scheduler import Scheduler
from ..text import LARGEST_SEED, SEED_RANGE
from .fake_llm import FakeLLM
from .invariants import Invariants
from .ledger import Ledger
from .tank import Tank
from .tracing import Tracing


@final
@dataclass(frozen=True, slots=True)
class Parts:
    """What every world has, whatever its time."""

    log: EventLog
    desk: Desk
    tank: Tank
    scheduler: Scheduler | None = None
    """What the program runs under in virtual time."""

    def close(self) -> None:
        """End the clients' connections, and trace nothing any more."""
        self.tank.fleet.close()
        self.desk.close()
        self.tank.tracing.close()

    def ended(self, end: Ended) -> None:
        """The program came to its end: close the log."""
        self.desk.catch_up()
        self.tank.tracing.at_the_end()
        self.tank.invariants.look(Origin("main", None, None))
        self.desk.note_held()
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
                watched=self.tank.watching.at_the_end(at),
                error=error,
                unseen=()
                if self.scheduler is None
                else tuple(map(_unseen, self.scheduler.witness.failures.unseen())),
                waits=() if self.scheduler is None else tuple(_waits(self.scheduler)),
                tasks=() if self.scheduler is None else tuple(_ends(self.scheduler, self.log)),
                history=self.tank.tracing.history(),
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
    origin: Callable[[], Origin] = lambda: NOWHERE,
    admit: Callable[[], object] = lambda: None,
    lets_through: Callable[[str, int | None], bool] = lambda *_: False,
    progress: Callable[[], object] = lambda: None,
    delivered: Callable[[Record], object] = lambda _: None,
    choose: Choose | None = None,
    over: Callable[[], bool] = lambda: False,
    scheduler: Scheduler | None = None,
) -> Parts:
    """Build the parts around a clock.

    Raises:
        ValueError: the seed is negative or has more than 64 bits.
        ScenarioError: a scheduler of the scenario is none, or its dialect is unknown.
    """
    log = EventLog(_header(scenario, checked_seed(seed), backend))
    provider = Provider(scenario, seed=seed, choose=choose, epoch_ns=epoch_ns)
    desk = Desk(
        provider,
        clock,
        log,
        waits=waits,
        faults=scenario.fault,
        hosts=hosts_of(scenario),
        admit=admit,
        origin=origin,
        lets_through=lets_through,
        is_declared=lambda host: hosts.is_declared(host, log.header.unknown_hosts),
        progress=delivered,
    )

    def note_outcome(kind: EventKind, /, **fields: Any) -> None:
        desk.note(kind, **fields)
        progress()

    ledger = Ledger(note_outcome, provider.answers.remembered, desk.secrets.hide, origin)
    tank = Tank(
        fake_llm=FakeLLM(desk, log),
        ledger=ledger,
        events=log,
        scenario=scenario,
        now=clock.now if scheduler is None else _counted(clock, scheduler),
        tracing=Tracing(desk, over),
        invariants=Invariants(desk.note, log.header.expects),
        desk=desk,
    )
    if scheduler is not None and scheduler.witness.quiet is not None:
        scheduler.witness.quiet.last_event = _last_event_of(log)
    return Parts(log, desk, tank, scheduler)


@contextmanager
def meeting_no_fake() -> Iterator[None]:
    """Keep every HTTP library patched until the block ends, so that worlds inside come and go quickly.

    Between two worlds all connections are let through: HTTP is real then.
    """
    between = assemble(
        load_scenario("calm"), RealClock(), RealWaits(), seed=0, backend="real", lets_through=lambda *_: True
    )
    with between.tank.fake_llm.installed():
        yield


def _counted(clock: Clock, scheduler: Scheduler) -> Callable[[], int]:
    """The clock as the program reads it, which must not do so without end."""

    def now() -> int:
        read_by_program(scheduler)
        return clock.now()

    return now


def _unseen(error: sim.Unseen) -> Unseen:
    """An error as the event log has it."""
    file, line = error.place or (None, None)
    return Unseen(task=error.task, error=without_addresses(error.error), at=error.at, file=file, line=line)


_QUIET: Final = frozenset(("held", "stalled", "traced", "wave-opened", "wave-closed"))
"""Events of the provider's own, through which a program may sleep, and what is the same without a trace."""


def _last_event_of(log: EventLog) -> Callable[[], int]:
    """When something last happened that ends a quiet stretch; each event is looked at once."""
    seen, last = 0, 0

    def last_event() -> int:
        nonlocal seen, last
        before, seen = seen, len(log)
        for place in range(seen - 1, before - 1, -1):
            event = log[place]
            if event.kind not in _QUIET:
                last = event.at
                break
        return last

    return last_event


def _waits(scheduler: Scheduler) -> Iterator[Wait]:
    """Who waited in the longest quiet stretches, as the event log has it."""
    for stretch in scheduler.witness.quiet.stretches() if scheduler.witness.quiet is not None else ():
        for waiting in stretch.waiting:
            file, line = waiting.place or (None, None)
            yield Wait(
                tasks=waiting.names,
                what=waiting.what,
                since=stretch.since,
                until=stretch.until,
                file=file,
                line=line,
            )


def _ends(scheduler: Scheduler, log: EventLog) -> Iterator[TaskEnd]:
    """How those tasks ended that did something, or did not return, or of which a wait is noted."""
    named = {event.task for event in log if event.kind != "traced"}
    named |= {task for wait in _waits(scheduler) for task in wait.tasks}
    for each in scheduler.witness.ends.all:
        if each.how != "returned" or each.task in named:
            yield TaskEnd(task=each.task, how=each.how, at=each.at, error=each.error)


def _header(scenario: Scenario, seed: int, backend: str) -> Header:
    return Header(
        answers=True,
        scenario=scenario.name,
        digest=digest(scenario),
        seed=seed,
        backend=backend,
        waves=len(scenario.wave),
        faults=len(scenario.fault),
        passable=lets_through(scenario),
    )


def checked_budget(seconds: float | None, name: str = "max_virtual_seconds") -> float | None:
    """The budget of time that an argument sets, if it is one; `None` stands for the default.

    Raises:
        ValueError: not above 0, or without an end.
    """
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ValueError(f"{name}={seconds!r}: the budget is a number of seconds above 0")
    return seconds


def checked_seed(seed: int) -> int:
    """The seed, if it is one.

    Raises:
        ValueError: negative, or more than 64 bits.
    """
    if not isinstance(seed, int) or not 0 <= seed <= LARGEST_SEED:
        raise ValueError(f"seed={seed!r}: a seed is {SEED_RANGE}")
    return seed
