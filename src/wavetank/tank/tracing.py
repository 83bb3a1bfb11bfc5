"""What `tank.trace` was given, and what happens to it, for the event log."""

from __future__ import annotations

import asyncio
import linecache
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, final

from ..events import Event
from ..patches.primitive_tracing import heard, types
from ..seams.desk import Desk
from ..sim.origin import Origin

_KEPT: Final = 20_000
"""So many events are kept for a history: a program that does more to its primitives shows its beginning."""
_PRIMITIVES: Final = 4
_LATEST: Final = 4
"""So many variables, and events of each of their primitives, say what happened to what is waited for."""

_TARGET: Final = re.compile(r"\s*([\w.]+(?:\s*,\s*[\w.]+)*)\s*(?::[^=]+)?=[^=]")
"""What the line of the program that makes a primitive assigns it to."""


@final
@dataclass(slots=True, eq=False)
class _Traced:
    """A primitive under its name; `happened` counts what happened to it."""

    name: str
    happened: int = 0


@final
@dataclass(slots=True, eq=False)
class _Call:
    """A method of a primitive that has not returned; `outer` is the one of the same task that called it."""

    traced: _Traced
    origin: Origin
    caller: int
    action: str | None
    waits: bool
    since: int
    happened: int
    outer: _Call | None
    settled: bool = False
    """Whether it is known, and logged, if it had to wait."""
    logged: set[str] = field(default_factory=set)


@final
class Tracing:
    """Logs what happens to primitives, from when each was given to it until the run is over.

    Args:
        desk: where events are noted.
        over: whether the run was stopped; what its tasks do while they unwind is not logged.
        kept: where events go instead of the log, and with them which primitives were made.
    """

    def __init__(self, desk: Desk, over: Callable[[], bool], kept: list[Event] | None = None) -> None:
        self._desk = desk
        self._kept = kept
        self._aside: Tracing | None = None
        self._over = over
        self._by_id: dict[int, _Traced] = {}
        self._names: dict[str, int] = {}
        self._calls: dict[tuple[int, _Traced], _Call] = {}
        self._all = False
        self._patched: ExitStack | None = None

    def add(self, primitive: object, name: str | None, frame: FrameType | None) -> None:
        """Trace a primitive from here on; without a name it has that of the caller's variable.

        Raises:
            TypeError: it is none of those that can be traced.
        """
        kinds = tuple(types())
        if not isinstance(primitive, kinds):
            raise TypeError(
                f"trace() cannot follow {type(primitive).__name__}: {primitive!r}; give it events, queues, "
                "locks, conditions, semaphores, limiters, barriers or memory streams of asyncio, anyio, "
                "trio, threading or queue; a lock of threading has to be made inside the test"
            )
        self._begin()
        self._register(primitive, name or _variable(frame, primitive) or _unnamed(primitive))

    def add_all(self) -> None:
        """Trace all primitives that the program makes from here on."""
        self._all = True
        self._begin()

    def keep_history(self) -> None:
        """Follow all primitives of the program beside the log, for `history`."""
        self._aside = Tracing(self._desk, self._over, [])
        self._aside.add_all()

    def history(self) -> tuple[Event, ...]:
        """The latest of what happened to the primitives that are still waited for, if that was kept."""
        if self._aside is None or self._aside._kept is None:
            return ()
        self._aside.at_the_end()
        return tuple(_of_the_waited_for(self._aside._kept))

    def at_the_end(self) -> None:
        """Log who still waits."""
        for call in list(self._calls.values()):
            while call.outer is not None:
                call = call.outer
            if call.waits:
                self._note(call, "waits", since=call.since)

    def close(self) -> None:
        """Give the classes their own methods back; harmless when they have them."""
        if self._patched is not None:
            patched, self._patched = self._patched, None
            patched.close()
        if self._aside is not None:
            self._aside.close()  # which began before: methods are given back in reverse
        self._by_id.clear()
        self._calls.clear()

    # -- what it hears ------------------------------------------------------------------------

    def hears(self, primitive: object) -> bool:
        return _identity(primitive) in self._by_id and not self._over()

    def made(self, primitive: object, maker: FrameType | None) -> None:
        stream: Any = _shared(primitive)
        if stream is not None and stream.open_send_channels + stream.open_receive_channels > 1:
            return  # the other end of a stream, or a clone
        self._by_id.pop(_identity(primitive), None)
        if self._all and maker is not None:
            traced = self._register(primitive, _assigned(maker) or _unnamed(primitive))
            if self._kept is not None and not self._over():
                self._log(traced, "made", self._desk.origin())

    def began(self, primitive: object, action: str | None, *, waits: bool) -> _Call:
        traced, caller = self._by_id[_identity(primitive)], _caller()
        now, outer = self._desk.clock.now(), self._calls.get((caller, traced))
        call = _Call(traced, self._desk.origin(), caller, action, waits, now, traced.happened, outer)
        self._calls[caller, traced] = call
        return call

    def ended(self, call: _Call, primitive: object, *, happened: bool, gave_up: bool = False) -> None:
        outer = call.outer
        if outer is None:
            self._calls.pop((call.caller, call.traced), None)
        else:
            self._calls[call.caller, call.traced] = outer
        if self._over():
            return
        if happened or gave_up:
            self._settle(call, primitive, "gave up" if gave_up else "waited")
        if happened and call.action is not None and call.action not in call.logged:
            size = _open_tasks(primitive) if call.action == "task_done" else _size(primitive)
            self._note(call, call.action, size=size)
            call.logged.add(call.action)
        if outer is not None:
            outer.logged |= call.logged

    def _settle(self, call: _Call, primitive: object, how: str) -> None:
        """Log the wait that has ended, if it was one: time passed, or others did something meanwhile.

        It began with the outermost of the methods that were called for the same action.
        """
        settled = call.settled
        call.settled = True
        while call.outer is not None and call.outer.action == call.action:
            call = call.outer
            settled |= call.settled
            call.settled = True
        lasted = self._desk.clock.now() > call.since or call.traced.happened != call.happened
        if call.waits and lasted and not settled:
            self._note(call, how, since=call.since, size=_size(primitive))

    def _note(self, call: _Call, action: str, *, since: int | None = None, size: int | None = None) -> None:
        call.traced.happened += 1
        self._log(call.traced, action, call.origin, since=since, size=size)

    def _log(self, traced: _Traced, action: str, origin: Origin, **fields: int | None) -> None:
        place = {"task": origin.task, "file": origin.file, "line": origin.line}
        known: dict[str, Any] = {"primitive": traced.name, "action": action, **place, **fields}
        if self._kept is None:
            self._desk.note("traced", **known)
        elif len(self._kept) < _KEPT:
            self._kept.append(Event(at=self._desk.clock.now(), kind="traced", **known))

    # -- names --------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._patched is None:
            self._patched = ExitStack()
            self._patched.enter_context(heard(self))

    def _register(self, primitive: Any, name: str) -> _Traced:
        self._names[name] = number = self._names.get(name, 0) + 1
        traced = _Traced(name if number == 1 else f"{name}#{number}")
        self._by_id[_identity(primitive)] = traced
        if isinstance(primitive, asyncio.Condition | threading.Condition):
            self._take_over_lock(primitive, traced)
        return traced

    def _take_over_lock(self, condition: Any, traced: _Traced) -> None:
        """A condition of the standard library has its lock's methods as attributes of its own."""
        self._by_id.setdefault(_identity(condition._lock), traced)
        for name in ("acquire", "release"):
            if name in vars(condition):
                setattr(condition, name, getattr(condition._lock, name))

    def __repr__(self) -> str:
        return f"<Tracing {', '.join(self._names) or 'nothing'}>"


def _of_the_waited_for(events: Sequence[Event]) -> Iterator[Event]:
    """What is still waited for, and what else was made in its place: who made and last changed it."""
    waited = dict.fromkeys(_place_of(each) for each in events if each.action == "waits")
    shown = {*list(waited)[:_PRIMITIVES]}
    by_name: dict[str | None, list[Event]] = {}
    for each in events:
        if _place_of(each) in shown:
            by_name.setdefault(each.primitive, []).append(each)
    for own in list(by_name.values())[-2 * _PRIMITIVES :]:
        yield from (each for each in own if each.action == "made")
        yield from [each for each in own if each.action not in ("made", "waits", "waited", "gave up")][
            -_LATEST:
        ]
        yield from [each for each in own if each.action == "waits"][:_LATEST]


def _place_of(event: Event) -> str:
    """The variable: `opened` of the third primitive that it has held, `opened#3`."""
    return (event.primitive or "").partition("#")[0]


def _identity(primitive: object) -> int:
    shared = _shared(primitive)
    return id(primitive if shared is None else shared)


def _shared(primitive: object) -> object:
    """What both ends of a memory stream and their clones have in common."""
    state = getattr(primitive, "_state", None)
    return state if hasattr(state, "max_buffer_size") else None


def _caller() -> int:
    """The identity of the task that runs, or of the thread."""
    try:
        if (task := asyncio.current_task()) is not None:
            return id(task)
    except RuntimeError:
        pass
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return id(trio.lowlevel.current_task())
    return threading.get_ident()


def _size(primitive: Any) -> int | None:
    """How much is in a queue or stream, borrowed of a limiter, left of a semaphore, waiting at a barrier."""
    state = _shared(primitive)
    for owner, name in (
        (state, "buffer"),
        (state, "data"),
        (primitive, "_queue"),
        (primitive, "queue"),
    ):
        if owner is not None and hasattr(getattr(owner, name, None), "__len__"):
            return len(getattr(owner, name))
    for name in ("borrowed_tokens", "n_waiting", "value", "_value"):
        number = getattr(primitive, name, None)
        if isinstance(number, int | float) and not isinstance(number, bool):
            return int(number)
    return None


def _open_tasks(queue: Any) -> int | None:
    """How many items of a queue have not been reported as done."""
    number = getattr(queue, "_unfinished_tasks", getattr(queue, "unfinished_tasks", None))
    return None if number is None else int(number)


def _variable(frame: FrameType | None, primitive: object) -> str | None:
    """What the caller calls it: a variable, or an attribute of one."""
    names = {} if frame is None else frame.f_locals
    for name, value in names.items():
        if value is primitive:
            return name
    for owner, value in names.items():
        for name, attribute in getattr(value, "__dict__", {}).items():
            if attribute is primitive:
                return name if owner == "self" else f"{owner}.{name}"
    return None


def _assigned(maker: FrameType) -> str | None:
    """What the line of the program assigns the new primitive to."""
    line = linecache.getline(maker.f_code.co_filename, maker.f_lineno, maker.f_globals)
    found = _TARGET.match(line)
    return None if found is None else re.sub(r"\bself\.", "", found[1])


def _unnamed(primitive: object) -> str:
    return type(primitive).__name__.removesuffix("Adapter").removeprefix("Baton")
