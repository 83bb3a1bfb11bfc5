"""Let a run use event loops that are not its own: each is stood in for by a loop of the run.

A library keeps a loop of the process for its blocking calls; a program makes one by hand, or keeps one
at the top of a module. Such a loop has another clock, or belongs to a run that is over. Its public
methods are those of its stand-in while a run uses it, and its own before and after.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final, final
from weakref import WeakKeyDictionary

from ..sim.asyncio_loop import SimulatedLoop
from .attributes import replaced

MakeLoop = Callable[[], asyncio.AbstractEventLoop]

_PUBLIC: Final = frozenset(
    name
    for name in dir(asyncio.AbstractEventLoop)
    if not name.startswith("_") and name not in ("close", "is_closed", "get_debug", "set_debug")
)
"""What is the stand-in's: all but what the making and the closing of the loop itself need."""

_own: Final = object.__getattribute__


@final
class StandIns:
    """The stand-ins of one run, or of the time outside all runs, by the loop that each is for."""

    def __init__(self, make_loop: MakeLoop) -> None:
        self._make_loop = make_loop
        self._loops: WeakKeyDictionary[asyncio.BaseEventLoop, asyncio.AbstractEventLoop] = WeakKeyDictionary()

    def loop_for(self, theirs: asyncio.BaseEventLoop) -> asyncio.AbstractEventLoop:
        """The loop that stands in; in a thread of its own, if `theirs` is run by another thread."""
        ours = self._loops.get(theirs)
        if ours is None:
            ours = self._loops[theirs] = self._make_loop()
            if _runs_elsewhere(theirs):
                thread = threading.Thread(target=ours.run_forever, name="wavetank-loop", daemon=True)
                thread.start()
        return ours

    def close(self, theirs: asyncio.BaseEventLoop) -> None:
        """`theirs` was closed: so is what stands in for it."""
        ours = self._loops.get(theirs)
        if ours is not None:
            ours.close()

    def close_all(self) -> None:
        """The run is over, and none of its threads runs a loop any more."""
        for ours in [*self._loops.values()]:
            if not ours.is_running():
                ours.close()
        self._loops.clear()

    def __contains__(self, loop: object) -> bool:
        return any(ours is loop for ours in self._loops.values())


def _runs_elsewhere(loop: asyncio.BaseEventLoop) -> bool:
    ident = _own(loop, "__dict__").get("_thread_id")
    return ident is not None and ident != threading.get_ident()


_runs: Final[list[tuple[Callable[[], bool], Callable[[], StandIns]]]] = []
"""For each run under way: whether the calling thread is one of its threads, and its stand-ins."""

_outside: Final = StandIns(asyncio.new_event_loop)
"""For loops of runs that are over, which are used where no run is."""


def _stand_ins() -> StandIns | None:
    """Those of the calling thread's run."""
    if _runs and _runs[-1][0]():
        return _runs[-1][1]()
    return None


@contextmanager
def stand_ins_under(stand_ins: Callable[[], StandIns], *, where: Callable[[], bool]) -> Iterator[None]:
    """Let the loops of the run stand in for others that its threads use; `where` says whose thread calls."""
    entry = (where, stand_ins)
    _runs.append(entry)
    try:
        with replaced(asyncio.BaseEventLoop, "__getattribute__", _redirected):
            yield
    finally:
        _runs.remove(entry)


def _redirected(self: asyncio.BaseEventLoop, name: str) -> Any:
    if name in _PUBLIC or name == "close":
        stand_ins = _stand_ins()
        if stand_ins is not None:
            if name == "is_running" and _runs_elsewhere(self):
                return lambda: True
            if name != "close":
                return getattr(stand_ins.loop_for(self), name)
            stand_ins.close(self)
    return _own(self, name)


@final
class LeftLoop(SimulatedLoop):
    """A loop of a run that is over, and that was not closed: its users get a stand-in.

    One that a thread of the run ran for ever goes on for ever: that thread has ended with its run, and
    what it did at its end, such as closing the loop, was not meant.
    """

    def __getattribute__(self, name: str) -> Any:
        stand_ins = _stand_ins() or _outside
        if name in _PUBLIC:
            if name == "is_running" and _runs_elsewhere(self):
                return lambda: True
            return getattr(stand_ins.loop_for(self), name)
        if name == "close":
            return lambda: None if _KEPT in _own(self, "__dict__") else self._close_with(stand_ins)
        return _own(self, name)

    def _close_with(self, stand_ins: StandIns) -> None:
        stand_ins.close(self)
        asyncio.BaseEventLoop.close(self)

    def __del__(self) -> None:
        """It was to be closed by its run, which is over: there is no warning."""


_NOWHERE: Final = -1
"""No thread's ident: in the place of that of the thread that ran a loop and has ended."""


_KEPT: Final = "_wavetank_kept"
"""Marks a loop that a thread of the run ran until its end."""


@contextmanager
def loops_left(loops: Iterable[SimulatedLoop]) -> Iterator[None]:
    """Release the open ones among the loops of a run whose threads are ended within the block."""
    left = [loop for loop in loops if not loop.is_closed()]
    running = [loop for loop in left if _runs_elsewhere(loop)]
    for loop in running:
        vars(loop)[_KEPT] = True
        loop.__class__ = LeftLoop
    try:
        yield
    finally:
        for loop in left:
            loop.__class__ = SimulatedLoop
            if not loop.is_closed() and not loop.is_running():
                loop.let_go()
                loop.__class__ = LeftLoop
                if loop in running:
                    vars(loop)["_thread_id"] = _NOWHERE
