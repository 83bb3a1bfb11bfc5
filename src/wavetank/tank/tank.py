"""The tank: one simulated world, as a program under test sees it."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import ModuleType
from typing import Protocol, TypeVar, final

from ..checks import hosts
from ..checks.verdict import Verdict
from ..clock import SECOND
from ..events import EventLog
from ..scenario import Scenario
from ..seams.desk import Desk
from ..seams.redis_server import PORT
from .expectations import Value, declared_hosts, expected
from .fake_llm import FakeLLM
from .invariants import Invariant, Invariants
from .ledger import Ledger
from .own_choices import OwnChoices, place_in_words
from .replicas import Fleet, Replica
from .simulated_redis import SimulatedRedis
from .strict_attributes import StrictAttributes
from .tracing import Tracing
from .watching import Watching
from .workload import Workload

T = TypeVar("T")


class Budget(Protocol):
    """Who ends the run when it has taken too much virtual time."""

    max_virtual_seconds: float


@final
class Tank(StrictAttributes):
    """Clock, fake, ledger and event log of one run."""

    __slots__ = (
        "_now",
        "budget",
        "events",
        "fake_llm",
        "fleet",
        "invariants",
        "ledger",
        "own_choices",
        "scenario",
        "tracing",
        "watching",
        "workload",
    )

    def __init__(
        self,
        *,
        fake_llm: FakeLLM,
        ledger: Ledger,
        events: EventLog,
        scenario: Scenario,
        now: Callable[[], int],
        tracing: Tracing,
        invariants: Invariants,
        desk: Desk,
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
        self.invariants = invariants
        """What `always` was given."""
        self.own_choices = OwnChoices()
        """What `choose` and its kind ask."""
        self.fleet = Fleet(desk, self.own_choices)
        """What `replica` has made."""
        self.budget: Budget | None = None
        """What ends a run in virtual time; `None` in real time."""
        self._now = now

    @property
    def max_virtual_seconds(self) -> float | None:
        """How much virtual time the run may take from its start on; `None` in real time, where none is kept.

        Setting it sets another budget for the whole run; in real time that does nothing.

        Raises:
            ValueError: it is set to a number that is not above 0, or has no end.
        """
        return None if self.budget is None else self.budget.max_virtual_seconds

    @max_virtual_seconds.setter
    def max_virtual_seconds(self, seconds: float) -> None:
        if self.budget is not None:
            self.budget.max_virtual_seconds = seconds

    def now(self) -> float:
        """Seconds since the start of the run."""
        return self._now() / SECOND

    def watch(self, name: str, count: Callable[[], float]) -> None:
        """Watch a count of the program's own, such as the permits that are lent out, under a name.

        `count` is called at once, with every event and at the end; it must not change anything.

        Raises:
            TypeError: the count cannot be called.
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

    def always(self, invariant: Invariant, *, name: str | None = None) -> None:
        """Judge something that must hold after every step of the program, as in a search for races.

        `invariant` is called at once, after every step of a task or callback, whenever a thread gives
        way, and at the end. It fails by returning something false, but for `None`, or by raising. It
        must be quick and must not change anything. In real time it is called with every event.

        Raises:
            TypeError: it cannot be called without arguments, or has to be awaited.
            ValueError: another invariant has that name.
        """
        self.invariants.add(invariant, name)

    def choose(self, options: Sequence[T]) -> T:
        """One of the options, as a search chooses: the first in FIFO order and outside a search.

        What failed because of it is shrunk towards the first option, and repeated from its token.

        Raises:
            TypeError: the options are no sequence.
            ValueError: there is none.
        """
        return self.own_choices.choose(options)

    def randomly(self, probability: float) -> bool:
        """Whether something is to happen, as a search chooses: False in FIFO order and outside a search.

        At random it is True with the `probability`, from 0 to 1; 0 is never True.

        Raises:
            TypeError: the probability is no number.
            ValueError: it is below 0 or above 1.
        """
        return self.own_choices.randomly(probability)

    async def maybe_timeout(self, awaitable: Awaitable[T]) -> T:
        """Await something, or let a search run out of time at one of its awaits; never outside a search.

        What is awaited is cancelled there, as by `anyio.fail_after`.

        Raises:
            TimeoutError: its time ran out.
        """
        return await self.own_choices.maybe_timeout(awaitable, place_in_words(sys._getframe(0)))

    def maybe_cancel(self, scope: object) -> None:
        """Let a search call `scope.cancel()` here; never outside a search.

        It takes a cancel scope of anyio or trio, a task, and whatever else has a method `cancel`.

        Raises:
            TypeError: it has none.
        """
        self.own_choices.maybe_cancel(scope)

    def replica(
        self,
        name: str,
        *,
        modules: Iterable[str | ModuleType] = (),
        clock_offset: float | str = 0,
        crashes: int = 0,
        pauses: int = 0,
        restarts: bool = True,
    ) -> Replica:
        """A part of the program as a process of its own in this world.

        It imports the named modules, and their submodules, for itself: what they keep in globals is
        its own. Everything else is shared. Its tasks and threads bear its name in reports.

        Args:
            name: what reports call it.
            modules: names of modules, such as `"app.limiter"`, or modules.
            clock_offset: by how many seconds its wall clock is ahead of the others, or a text such as
                `"-1.5s"`: `time.time`, `datetime.now` and their kind.
            crashes: how often at most a search may let it crash, at any await; never outside a search.
            pauses: how often at most a search may pause it, for 1, 10 or 60 s.
            restarts: whether it is restarted after a crash by a search, 0, 1 or 30 s later.

        Raises:
            ValueError: there is a replica of this name, or an argument is out of range.
            ModuleNotFoundError: there is no module of a name.
            RuntimeError: it has a clock offset, and time is real.
        """
        return Replica(
            self.fleet,
            name,
            modules=modules,
            clock_offset=clock_offset,
            crashes=crashes,
            pauses=pauses,
            restarts=restarts,
        )

    def add_redis(self, host: str, *, port: int = PORT, latency: str | float = "1ms..5ms") -> SimulatedRedis:
        """A Redis at an address of the simulated network, for clients that reach it over sockets.

        It knows the commands of Redis 7, Lua scripts among them; its clock is virtual time, and no
        replica's. Each command is in the event log. It needs `pip install 'wavetank[fleet]'`.

        Args:
            host: its name, such as `"cache.internal"` for `redis://cache.internal:6379`.
            port: its port.
            latency: from a command to its reply, half of it each way: seconds, or a text such as
                `"1ms"` or `"1ms..5ms"`. It is the shortest one, or what a search chooses.

        Raises:
            ModuleNotFoundError: fakeredis or Lua is missing.
            RuntimeError: time is real.
            ValueError: it is no host, or there is a server already.
        """
        self.fleet.required(f"add_redis({host!r})")
        return SimulatedRedis(self.fleet.desk, self.own_choices, host, port, latency)

    def add_check(self, check: Callable[[EventLog], Verdict]) -> None:
        """Judge the run by a check of your own, too, whatever the other checks are.

        `check` is called with the event log when the run is judged. It goes by the name in its
        verdict, or that of the function.

        Raises:
            TypeError: it cannot be called.
        """
        if not callable(check):
            raise TypeError(
                f"add_check({check!r}): give a callable that takes the event log and returns a Verdict"
            )
        self.fake_llm.own_checks.append(check)

    def expect(self, **expectations: Value) -> None:
        """Declare what a correct run may do.

        `paid_per_item=2`: answers an item may be given, for a client that hedges. `in_flight=8`:
        requests at one instant. `requests_per_item=6`: attempts on an item. `herd=0.5`: the share of
        the refused items that may come back at one instant. `starvation=50`: outcomes of others an
        item may have to go without a request. `order="input"`: results come as items were submitted.

        `completed=40`: at least so many items. `failed=0`, `refused=0`, `tokens=9000`: at most so many
        items, refusals, and tokens charged. `within="10m"`: from the first submission to the last
        outcome. `requests_per_minute=600, burst=10`: at most so many at once and a minute; `burst` is
        as large as the rate unless given. `fallback=True`: an item may be completed without an answer.
        `unknown_hosts=["*.posthog.com"]`: these may be refused; each call adds to them.

        Raises:
            TypeError: no check judges an expectation of that name.
            ValueError: a value is out of range, or has a wrong word or unit.
        """
        header = self.events.header
        header.expects.update(expected(expectations, header.expects))
        if hosts.EXPECTATION in expectations:
            header.unknown_hosts.extend(declared_hosts(expectations[hosts.EXPECTATION]))

    def __repr__(self) -> str:
        return f"<Tank {self.scenario.name} at {self.now():g} s>"
