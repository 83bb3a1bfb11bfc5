"""What the tests of one pytest session share: the process that is lent to them, and what outlives a test."""

from __future__ import annotations

import gc
from asyncio import AbstractEventLoop
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import final

from ..patches.threads import locks_for_later
from ..sim.asyncio_loop import SimulatedLoop
from ..sim.real_loop import real_loop
from ..sim.run_threads import Engine
from ..sim.scheduler import Scheduler
from ..sim.timers import Timers
from .assembly import meeting_no_fake
from .virtual_world import ProcessOwner, VirtualWorld, lasting_or_not, lent_to


@final
class SharedProcess:
    """Lends the process to one test after another.

    It stays lent between tests, since to borrow it takes longer than most tests; meanwhile it
    behaves as if it were not. A fixture of wider scope is made *beside* a test: in real time and
    with real sockets, but its threads and event loops belong to the session's scheduler, so that they
    have virtual time in each test that uses them.
    """

    def __init__(self) -> None:
        self.scheduler = Scheduler(Timers())
        self.scheduler.resting = True
        self._owner: ProcessOwner | None = None
        self._lent: ExitStack | None = None
        self._early = ExitStack()

    def prepare(self) -> None:
        """Let locks that modules make at their import work in tests; before the project is imported."""
        self._early.enter_context(locks_for_later())

    @contextmanager
    def in_test(self, world: VirtualWorld) -> Iterator[None]:
        """What is done inside happens in the time of the test's world."""
        with (
            self._awake(world),
            world.current_loop.lent(),
            world.parts.tank.fake_llm.installed(),
            _collector_off(),
        ):
            yield

    @contextmanager
    def beside(self, *, real_loops: bool = False) -> Iterator[None]:
        """What is done inside happens in real time, and what it makes may be used in tests.

        `real_loops` says that event loops made inside have real sockets: tests have stand-ins for them.
        """
        scheduler, timers = self.scheduler, self.scheduler.timers
        kept = (timers.limit, timers.idle, scheduler.stalled, scheduler.step_blocked)
        timers.limit = timers.idle = None
        scheduler.paced = True
        try:
            with self._awake(_Beside(scheduler, real_loops=real_loops)):
                yield
                # A thread that then blocks in real input, as a server does, leaves the run here.
                while scheduler.run_a_thread():
                    pass
        finally:
            scheduler.paced = False
            timers.limit, timers.idle, scheduler.stalled, scheduler.step_blocked = kept

    @contextmanager
    def left_alone(self) -> Iterator[None]:
        """What is done inside has nothing to do with the fake.

        Threads and loops of wider fixtures may be needed all the same: then time is real for them.
        """
        self.give_back()
        if self._lent is None:
            yield
            return
        with self.beside(real_loops=True):
            yield

    @contextmanager
    def _awake(self, owner: ProcessOwner) -> Iterator[None]:
        if self._lent is None:
            with ExitStack() as lent:
                lent.enter_context(lent_to(self.scheduler, lambda: self._owner, collect=True))
                lent.enter_context(meeting_no_fake())
                self._lent = lent.pop_all()
        before, rested = self._owner, self.scheduler.resting
        self._owner, self.scheduler.resting = owner, False
        try:
            yield
        finally:
            self._owner, self.scheduler.resting = before, rested

    def give_back(self) -> None:
        """Give the process back, unless a thread or loop of a wider fixture still needs it."""
        if self._lent is not None and not self.scheduler.holds_something():
            lent, self._lent = self._lent, None
            lent.close()

    def close(self) -> None:
        """End what is left and give the process back; the session is over."""
        if self._lent is not None:
            with self.beside():
                self.scheduler.close()
                for loop in self.scheduler.lasting_loops:
                    loop.close()
        self.give_back()
        self._early.close()


@final
class _Beside:
    """Owns the process while a fixture of wider scope is made or ended, or a test does not meet the fake."""

    def __init__(self, scheduler: Scheduler, *, real_loops: bool) -> None:
        self._scheduler = scheduler
        self._real_loops = real_loops

    def new_loop(self) -> AbstractEventLoop:
        return (
            real_loop(self._scheduler) if self._real_loops else lasting_or_not(SimulatedLoop(self._scheduler))
        )

    def started(self, engine: Engine, /) -> None:
        """A run of trio in a fixture ends with it."""


@contextmanager
def _collector_off() -> Iterator[None]:
    """Let no garbage collection strike in a test: when it does depends on the whole session."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
