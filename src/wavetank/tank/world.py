"""A world in virtual time, and what the process lends it."""

from __future__ import annotations

import sys
from asyncio import events as asyncio_events
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Final, Protocol, final

from ..clock import HOUR, ClockFrom, after_delay
from ..events import Event
from ..patches.garbage import collect_young
from ..patches.imports import on_import
from ..patches.runners import runners_on
from ..patches.virtual import virtual_process
from ..scenario import Scenario, digest, last_instant, longest_retry_after
from ..seams.desk import Desk
from ..seams.errors import OutsideTheTank
from ..sim.asyncio_loop import SimulatedLoop
from ..sim.choices import Chooser, Level
from ..sim.host import STEPS_WITHOUT_PROGRESS, Host
from ..sim.refused import LEAVE_OUT
from ..sim.timeline import Timeline
from ..sim.token import FIFO, Schedule
from ..sim.turns import Engine
from .assembly import Parts, assemble, checked_budget
from .questions import Question
from .waits import VirtualWaits

DEFAULT_BUDGET: Final = 24 * HOUR

IDLE_TIMES_PER_COLLECTION: Final = 2_000


@final
class World:
    """One run's parts in virtual time, and what the process lends it."""

    def __init__(
        self,
        scenario: Scenario,
        *,
        seed: int,
        backend: str,
        max_virtual_seconds: float | None = None,
        host: Host | None = None,
        chooser: Chooser | None = None,
        level: Level = FIFO,
        step_budget: int = STEPS_WITHOUT_PROGRESS,
    ) -> None:
        self.schedule = Schedule(backend, seed, digest(scenario))
        self.host = host or Host(Timeline())
        if self.host.holds_something():
            self.timeline = self.host.timeline
            self.host.resume(self.timeline, chooser=chooser, level=level, step_budget=step_budget)
        else:
            self.timeline = Timeline()
            self.host.renew(self.timeline, chooser=chooser, level=level, step_budget=step_budget)
        self.timeline.limit = self.timeline.now() + _budget(scenario, max_virtual_seconds)
        self.timeline.idle = self._idle
        clock = ClockFrom(self.timeline) if self.host.began else self.timeline
        self.host.stalled, self.host.step_blocked = self._stalled, self._blocked
        self.asks: Callable[[Question], object] | None = None
        """Told of each question a chooser is asked in the provider's place."""
        self.engines: list[Engine] = [*self.host.lasting_loops]  # type: ignore[list-item]
        self._delivered_at = -1
        self._idle_times = 0
        self._all_parts: list[Parts] = []
        self.parts = assemble(
            scenario,
            clock,
            VirtualWaits(self.host),
            seed=seed,
            backend=backend,
            admit=self._admit,
            progress=self._progress,
            delivered=self._delivered,
            choose=None if chooser is None else self._choose,
        )
        self._all_parts.append(self.parts)

    def another(self, scenario: Scenario, *, seed: int) -> Parts:
        """The parts of a second provider in this world; its time starts now."""
        parts = assemble(
            scenario,
            ClockFrom(self.timeline),
            VirtualWaits(self.host),
            seed=seed,
            backend=self.schedule.backend,
            admit=self._admit,
            progress=self._progress,
        )
        for before in self._all_parts:
            before.desk.close()
        self._all_parts = [self.parts, parts]
        if self.timeline.limit is not None:
            self.timeline.limit = self.timeline.now() + _budget(scenario, None)
        return parts

    # -- the process ---------------------------------------------------------------------

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Take what the run needs of the process until the block ends."""
        with lent_to(self.host, lambda: self), self.parts.tank.fake_llm.installed():
            yield

    # -- the run -------------------------------------------------------------------------

    def started(self, engine: Engine) -> None:
        """A loop or a run of trio has started in this world."""
        self.engines.append(engine)

    def new_loop(self) -> SimulatedLoop:
        """A loop in this world's time, for a runner that wants one."""
        loop = lasting_or_not(SimulatedLoop(self.host))
        self.started(loop)
        return loop

    def close(self) -> None:
        """Let go of threads that still wait and of runs of trio that never ended.

        What belongs to a fixture that outlives the test goes on waiting for the next one.
        """
        for parts in self._all_parts:
            parts.desk.close()
        self.host.close(all_threads=False)
        self.timeline.idle = None
        for engine in self.engines:
            engine.dispose()

    @property
    def steps(self) -> int:
        """Steps of all engines so far."""
        return sum(engine.steps for engine in self.engines)

    def _stalled(self, began: int) -> None:
        at = self.timeline.now() - self.host.began
        self.parts.log.append(Event(at=at, kind="stalled", since=began - self.host.began))

    def _blocked(self, began: int) -> None:
        self.parts.desk.note("stalled", since=began - self.host.began, reason="blocking")

    def _choose(self, purpose: str, item: str | None, options: Sequence[int]) -> int:
        """Let the run's chooser decide in the provider's place; 0 once the run is being ended."""
        chooser = self.host.chooser
        if chooser is None:
            return 0
        if self.asks is not None:
            self.asks(Question(purpose, item, options))
        return chooser.choose("provider", len(options), ())

    def _idle(self) -> bool:
        """Nothing can run; True if that may have changed."""
        self._idle_times += 1
        if self._idle_times % IDLE_TIMES_PER_COLLECTION == 0:
            collect_young()
            return True
        return any(parts.desk.settle(partial(self._next_due, parts.desk)) for parts in self._all_parts)

    def _next_due(self, desk: Desk) -> int | None:
        """The next instant at which something is due, on the clock of a desk."""
        due = self.timeline.next_due()
        return None if due is None else due - self.timeline.now() + desk.clock.now()

    def _progress(self) -> None:
        for engine in self.engines:
            engine.progress()

    def _delivered(self) -> None:
        """A success reached its client; without time passing that may go on for ever."""
        if self.timeline.now() > self._delivered_at:
            self._delivered_at = self.timeline.now()
            self._progress()

    def _admit(self) -> None:
        """Let in whoever runs in this world's time.

        Raises:
            OutsideTheTank: the caller's thread or event loop lives in another time.
        """
        loop = asyncio_events._get_running_loop()
        if not self.host.is_mine():
            raise OutsideTheTank(_outside("from a thread that the run did not start"))
        if loop is not None and not (isinstance(loop, SimulatedLoop) and loop.host is self.host):
            raise OutsideTheTank(_outside(f"on a {type(loop).__name__} with another clock"))
        trio = sys.modules.get("trio")
        if loop is None and trio is not None and trio.lowlevel.in_trio_run() and not self.engines:
            raise OutsideTheTank(_outside("in a run of trio with another clock"))

    def __repr__(self) -> str:
        return f"<World {self.parts.log.header.scenario} {self.host!r}>"


class Owner(Protocol):
    """Who has the process for now: a world, or a fixture that outlives its test."""

    def new_loop(self) -> SimulatedLoop:
        """A loop in the owner's time."""

    def started(self, engine: Engine, /) -> None:
        """A loop or a run of trio has started."""


def lasting_or_not(loop: SimulatedLoop) -> SimulatedLoop:
    """Note of a new loop whether it outlives the test."""
    loop.lasting = loop.host.outlives()
    if loop.lasting:
        loop.host.lasting_loops.append(loop)
    return loop


@contextmanager
def lent_to(host: Host, current: Callable[[], Owner | None], *, collect: bool = False) -> Iterator[None]:
    """Let one world after another have the process, but for the fake; `current` tells which has it now."""

    def new_loop() -> SimulatedLoop:
        world = current()
        assert world is not None, "no run is under way"
        return world.new_loop()

    def in_a_run() -> bool:
        # Between two runs finalizers of the last one may run loops of their own.
        return current() is not None and host.is_mine()

    def started(engine: Engine) -> None:
        world = current()
        if world is not None:
            world.started(engine)

    def borrow_trio(stack: ExitStack, _: ModuleType) -> None:
        from ..patches.trio_hooks import trio_under

        stack.enter_context(trio_under(host, started))

    with ExitStack() as stack:
        stack.enter_context(virtual_process(host, collect=collect))
        stack.enter_context(runners_on(new_loop, where=in_a_run, real_loops_too=lambda: host.paced))
        stack.enter_context(on_import(("trio",), partial(borrow_trio, stack)))
        yield


def _outside(where: str) -> str:
    return (
        f"the fake was called {where}, where the virtual time of this tank does not run. "
        f"Call it from what the test itself runs, or {LEAVE_OUT}"
    )


def _budget(scenario: Scenario, max_virtual_seconds: float | None) -> int:
    seconds = checked_budget(max_virtual_seconds)
    if seconds is None:
        return DEFAULT_BUDGET + last_instant(scenario) + longest_retry_after(scenario)
    return after_delay(seconds)
