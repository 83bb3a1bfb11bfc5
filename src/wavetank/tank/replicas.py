"""Replicas: parts of the program that run as processes of their own inside one simulated world."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from contextvars import Context
from types import ModuleType
from typing import Any, Final, Protocol, final

from ..clock import SECOND, after_delay, format_duration, parse_signed_duration
from ..patches.fresh_modules import FreshModules, checked_names, imports_by_process
from ..seams.desk import Desk
from ..sim.origin import Place
from ..sim.processes import Process, current_process
from ..sim.run_threads import Engine
from ..sim.scheduler import Scheduler
from ..sim.step_watch import place_of_task
from ..sim.virtual_files import close_files_of
from .own_choices import OwnChoices
from .replica_tasks import ReplicaCrashed, ReplicaTask

LATEST_STEP: Final = 256
"""A search lets a replica crash or pause at one of so many of its first steps."""

_STEP_WEIGHTS: Final = tuple(LATEST_STEP * 1000 // step for step in range(1, LATEST_STEP + 1))
"""Early steps are likelier, in such a way that each doubling is as likely: a run may be short or long."""

_WEIGHTS: Final = (sum(_STEP_WEIGHTS), *_STEP_WEIGHTS)
"""In half of the runs it does not happen."""

PAUSES: Final = (1, 10, 60)
"""Seconds: a long garbage collection, a virtual machine that is moved, and longer than most leases."""

RESTART_DELAYS: Final = (1, 0, 30)
"""Seconds from a crash to the restart: systemd waits 0.1 s, Kubernetes from none to minutes."""


class World(Protocol):
    """The run that replicas live in."""

    scheduler: Scheduler
    engines: list[Engine]


@final
class Fleet:
    """The replicas of one run; in real time there is no `world`, and nothing can crash or pause."""

    def __init__(self, desk: Desk, choices: OwnChoices) -> None:
        self.desk = desk
        self.choices = choices
        self.world: World | None = None
        self._replicas: dict[str, Replica] = {}
        self._borrowed = ExitStack()
        self._is_closed = False

    def add(self, replica: Replica) -> None:
        """Take in one more.

        Raises:
            ValueError: there is one of that name.
        """
        if replica.name in self._replicas:
            raise ValueError(f"there is a replica {replica.name!r} already: give each a name of its own")
        if not self._replicas:
            self._borrowed.enter_context(imports_by_process())
        if self.world is not None:
            self.world.scheduler.has_processes = True
        self._replicas[replica.name] = replica

    def required(self, wish: str) -> World:
        """The simulated world.

        Raises:
            RuntimeError: time is real.
        """
        if self.world is None:
            raise RuntimeError(
                f"{wish}: that needs virtual time, and this test runs on the machine's clock: "
                "leave out --llm-clock=real, or the marker llm_clock"
            )
        return self.world

    @property
    def is_over(self) -> bool:
        """Whether the run has ended, so that nothing is restarted any more."""
        return self._is_closed or (self.world is not None and self.world.scheduler.stopped_by is not None)

    def crash(self, process: Process) -> None:
        """Nothing of a process runs any more, and its connections are reset."""
        world = self.required("crash()")
        process.crash()
        self.desk.crashed(process)
        for engine in world.engines:
            engine.drop(process)
        world.scheduler.drop_threads(process)
        close_files_of(process)

    def later(self, seconds: float, callback: Callable[[], object], wish: str) -> None:
        """Call back when so many seconds have passed."""
        timers = self.required(wish).scheduler.timers
        timers.call_at(timers.now() + after_delay(seconds), lambda: self.is_over or callback())

    def place_of(self, process: Process) -> Place | None:
        """Where the oldest task of a process waits."""
        for engine in self.required("a place").engines:
            for task in engine.suspended(prospects=False):
                if task.name.startswith(f"{process.name}/") and (place := place_of_task(task.coro)):
                    return place
        return None

    def close(self) -> None:
        """Give back what imports were changed for."""
        self._is_closed = True
        self._borrowed.close()

    def __repr__(self) -> str:
        return f"<Fleet [{', '.join(self._replicas)}]>"


@final
class Replica:
    """A part of the program as a process of its own; `tank.replica` makes one."""

    def __init__(
        self,
        fleet: Fleet,
        name: str,
        *,
        modules: Iterable[str | ModuleType],
        clock_offset: float | str,
        crashes: int,
        pauses: int,
        restarts: bool,
    ) -> None:
        self.name = _checked_name(name)
        self._fleet = fleet
        self._modules = checked_names(modules)
        self._offset = _checked_offset(clock_offset)
        if self._offset:
            fleet.required("clock_offset")
        self._crashes_left = _count(crashes, "crashes")
        self._pauses_left = _count(pauses, "pauses")
        self._restarts = restarts
        self._restart_is_due = False
        self._tasks: list[ReplicaTask] = []
        self._calls: list[ReplicaTask] = []
        fleet.add(self)
        self._boot("started")

    # -- its code -----------------------------------------------------------------------------

    def _boot(self, action: str) -> None:
        self._process = process = Process(self.name, clock_offset=self._offset)
        self._fresh = process.modules = FreshModules(self._modules)
        self._context = Context()
        self._context.run(current_process.set, process)
        self._fleet.desk.note("replica", task=self.name, action=action)
        self._context.run(self._fresh.import_all)
        self._choose_when(self._crashes_left, self._crash_by_choice, "crashes")
        self._choose_when(self._pauses_left, self._pause_by_choice, "pauses")

    def __getitem__(self, module: str) -> ModuleType:
        """The replica's own copy of a module.

        Raises:
            KeyError: it shares this module with the others, or has not imported it.
        """
        found = self._fresh.get(module)
        if found is None:
            raise KeyError(
                f"replica {self.name!r} has no module {module!r} of its own: "
                f"name it in tank.replica({self.name!r}, modules=[…])"
            )
        return found

    def function(self, named: Callable[..., Any] | str) -> Callable[..., Any]:
        """The function that `module:function` names, from the replica's own modules if it is there."""
        if not isinstance(named, str):
            if not callable(named):
                raise TypeError(f"start({named!r}): give a function, or a text such as 'app.worker:main'")
            return named
        module, colon, path = named.partition(":")
        if not colon or not path:
            raise ValueError(f"start({named!r}): write MODULE:FUNCTION, such as 'app.worker:main'")
        found: Any = self._context.run(importlib.import_module, module)
        for part in path.split("."):
            found = getattr(found, part)
        return self.function(found)

    def start(self, function: Callable[..., Any] | str, *args: Any, **options: Any) -> ReplicaTask:
        """Let the replica run a function: in a task of its own if it is `async def`, else in a thread.

        It belongs to what the replica is started with: a restart runs it again unless it has ended.

        Args:
            function: a function, or `"module:function"` for one of the replica's own modules.
            args: what it is given.
            options: what it is given by keyword.

        Raises:
            ReplicaCrashed: the replica is down.
            RuntimeError: it is `async def`, and no event loop runs here.
        """
        task = self._begun(function, args, options)
        self._tasks.append(task)
        return task

    async def run(self, function: Callable[..., Any] | str, *args: Any, **options: Any) -> Any:
        """Run a function in the replica and return what it returns; a restart does not run it again.

        Raises:
            ReplicaCrashed: the replica is down, or crashed meanwhile.
            Exception: what the function raised.
        """
        task = self._begun(function, args, options)
        self._calls.append(task)
        try:
            return await task.wait()
        finally:
            self._calls.remove(task)

    def _begun(self, function: Callable[..., Any] | str, args: Any, options: Any) -> ReplicaTask:
        if self._process.state == "crashed":
            raise ReplicaCrashed(f"replica {self.name!r} has crashed: call restart() first")
        task = ReplicaTask(self, self._fleet.desk.waits, function, args, options)
        task.begin(self._context.copy())
        return task

    async def wait(self) -> None:
        """Wait until all that was started has ended, also what is started meanwhile.

        Raises:
            ReplicaCrashed: the replica has crashed and stays down.
            Exception: what one of the functions raised.
        """
        for task in self._tasks:
            await task.wait()

    def join(self) -> None:
        """As `wait`, for a thread."""
        for task in self._tasks:
            task.join()

    # -- what happens to it -------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether it runs, or is about to be restarted."""
        return self._process.state != "crashed" or self._restart_is_due

    def crash(self) -> None:
        """End the replica as `kill -9` does: no `finally` and no `except` of its code runs.

        Its connections are reset. What a server has, it keeps, and so do files. It stays down until
        `restart`. Code of the replica's own that calls this goes on to its next await.

        Raises:
            RuntimeError: time is real.
        """
        self._fleet.required("crash()")
        if self._process.state == "crashed":
            return
        process, place = self._process, self._fleet.place_of(self._process)
        self._note("crashed", place)
        self._fleet.crash(process)
        if current_process.get() is process:
            self._fleet.later(0, lambda: self._fleet.crash(process), "crash()")
        self._restart_is_due = False
        for task in (*self._tasks, *self._calls):
            task.changed()

    def pause(self, seconds: float) -> None:
        """Stop the replica for a while, as a garbage collection or a virtual machine that is moved does.

        Time passes meanwhile, its deadlines pass, and data arrive for it. Code of the replica's own
        that calls this goes on to its next await.

        Raises:
            RuntimeError: time is real.
            ValueError: the number of seconds is not above 0.
        """
        self._fleet.required("pause()")
        if (
            isinstance(seconds, bool)
            or not isinstance(seconds, int | float)
            or not 0 < seconds < float("inf")
        ):
            raise ValueError(f"pause({seconds!r}): give a number of seconds above 0")
        process = self._process
        if process.state != "running":
            return
        process.pause()
        now = self._fleet.desk.clock.now()
        self._note("paused", self._fleet.place_of(process), until=now + after_delay(seconds))
        self._fleet.later(seconds, lambda: self._resume(process), "pause()")

    def _resume(self, process: Process) -> None:
        if process.state == "paused":
            self._note("resumed", None)
            process.resume()

    def restart(self) -> None:
        """Start the replica again: import its modules, and run again what `start` was given.

        It crashes first if it runs. What had ended before is not run again.

        Raises:
            RuntimeError: time is real.
        """
        self.crash()
        self._restart_is_due = False
        self._boot("restarted")
        for task in self._tasks:
            if not task.done:
                task.begin(self._context.copy())

    def _note(self, action: str, place: Place | None, *, until: int | None = None) -> None:
        file, line = place or (None, None)
        self._fleet.desk.note("replica", task=self.name, action=action, until=until, file=file, line=line)

    # -- what a search does to it -------------------------------------------------------------

    def _choose_when(self, left: int, happen: Callable[[], object], verb: str) -> None:
        """Let a search choose at which of its steps something happens to it, if at all."""
        explorer, process = self._fleet.choices.explorer, self._process
        if not left or explorer is None:
            return
        at = explorer.decide(
            len(_WEIGHTS), _WEIGHTS, lambda step: f"replica {self.name!r} {verb} at its step {step}"
        )
        if not at:
            return
        key = (process, verb)

        def offer() -> None:
            if process.state == "crashed" or self._fleet.is_over:
                explorer.withdraw(key)
            elif process.steps >= at and process.state == "running":
                explorer.withdraw(key)
                happen()

        explorer.offer(key, offer)

    def _crash_by_choice(self) -> None:
        self._crashes_left -= 1
        self.crash()
        if self._restarts:
            self._restart_is_due = True
            self._fleet.later(
                self._chosen(RESTART_DELAYS, "restarts after"), self._restart_if_due, "crashes="
            )

    def _restart_if_due(self) -> None:
        if self._restart_is_due:
            self.restart()

    def _pause_by_choice(self) -> None:
        self._pauses_left -= 1
        self.pause(self._chosen(PAUSES, "pauses for"))

    def _chosen(self, seconds: Sequence[int], verb: str) -> int:
        explorer = self._fleet.choices.explorer
        assert explorer is not None

        def describe(at: int) -> str:
            return f"replica {self.name!r} {verb} {format_duration(seconds[at] * SECOND)}"

        return seconds[explorer.decide(len(seconds), (), describe)]

    def __repr__(self) -> str:
        return f"<Replica {self.name!r}, {self._process.state}>"


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not name or "/" in name:
        raise ValueError(f"replica({name!r}): a name is a text without a slash, such as 'one'")
    return name


def _checked_offset(offset: float | str) -> int:
    """The offset of a clock in nanoseconds."""
    if isinstance(offset, str):
        return int(parse_signed_duration(offset))
    if isinstance(offset, bool) or not isinstance(offset, int | float) or abs(offset) == float("inf"):
        raise TypeError(f"clock_offset={offset!r}: give seconds, or a text such as '-1.5s'")
    return round(offset * SECOND)


def _count(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{name}={value!r}: give how often at most, a whole number from 0")
    return value
