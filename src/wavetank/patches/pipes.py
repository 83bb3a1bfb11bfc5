"""Let the run's other threads go on while one of them waits for a pipe, a pair of sockets, or `select`.

What it waits for may come from one of them, which cannot run as long as the waiting thread has the baton.
Only when none of them can bring it is the wait a real one: for another process.
"""

from __future__ import annotations

import functools
import select
import selectors
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import ModuleType
from typing import Any, Final, Self, final

from ..clock import after_delay
from ..sim.scheduler import Scheduler
from ..sim.virtual_files import VirtualFile, virtual_file
from .attributes import replaced
from .imports import on_import
from .sockets import RECEIVES

_real_select = select.select

_NOT_HERE: Final = ("subprocess", "multiprocessing.", "asyncio.", "wavetank.")
"""Modules that wait by a selector for processes, whose time is real, or in a loop of their own."""


@contextmanager
def pipes_under(scheduler: Scheduler) -> Iterator[None]:
    """Let the threads of `scheduler` take turns while they wait for these."""
    with ExitStack() as stack:
        for name in RECEIVES:
            method = _after_others(scheduler, getattr(socket.socket, name))
            stack.enter_context(replaced(socket.socket, name, method))
        stack.enter_context(replaced(select, "select", partial(_select, scheduler)))
        for name, per_second in (("poll", 1000), ("epoll", 1)):
            if make := getattr(select, name, None):
                stack.enter_context(replaced(select, name, partial(_Poll, scheduler, make, per_second)))
        for kind in _selectors():
            stack.enter_context(replaced(kind, "select", _selected(scheduler, kind.select)))
        stack.enter_context(
            on_import(("multiprocessing.connection",), partial(_connections, scheduler, stack))
        )
        yield


def others_first(
    scheduler: Scheduler, is_ready: Callable[[], bool], until: int | None, *, virtual: bool = False
) -> bool:
    """Let other threads of the run go on until it is ready; whether the instant `until` came first.

    It may not be ready either when none of them can go on: what is waited for comes from elsewhere. Not
    so if some of it is `virtual`: then it comes with time.
    """
    while not is_ready():
        due = scheduler.next_turn()
        if due is None and virtual:
            due = scheduler.timers.next_due()
            if due is None:
                scheduler.wait("select", until=until)
                return not is_ready()
        if due is None:
            return False
        if until is not None and due >= until:
            scheduler.wait("a pipe or socket", until=until)
            return not is_ready()
        scheduler.wait("a pipe or socket", until=due)
    return False


def _after_others(scheduler: Scheduler, receive: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(receive)
    def received(self: socket.socket, *args: Any, **options: Any) -> Any:
        timeout = self.gettimeout()
        if timeout != 0 and self.family == getattr(socket, "AF_UNIX", None) and scheduler.is_virtual_here():
            until = None if timeout is None else scheduler.timers.now() + after_delay(timeout)
            if others_first(scheduler, lambda: bool(_real_select([self], (), (), 0)[0]), until):
                raise TimeoutError("timed out")
        return receive(self, *args, **options)

    return received


def _select(scheduler: Scheduler, rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None, /) -> Any:
    """In the place of `select.select`."""
    if timeout == 0 or not scheduler.is_virtual_here():
        return _real_select(rlist, wlist, xlist, timeout)
    files = [*map(virtual_file, (*rlist, *wlist, *xlist))]
    return _waited(scheduler, lambda seconds: _real_select(rlist, wlist, xlist, seconds), any, timeout, files)


@final
class _Poll:
    """In the place of an object that `select.poll` or `select.epoll` returns; its timeouts are in parts of a
    second, so many of them."""

    def __init__(
        self, scheduler: Scheduler, make: Callable[..., Any], per_second: int, *args: Any, **options: Any
    ) -> None:
        self._scheduler = scheduler
        self._per_second = per_second
        self._real = make(*args, **options)
        self._files: set[int] = set()

    def register(self, fd: Any, *mask: int) -> None:
        self._real.register(fd, *mask)
        self._files.add(fd if isinstance(fd, int) else fd.fileno())

    def modify(self, fd: Any, mask: int) -> None:
        self._real.modify(fd, mask)

    def unregister(self, fd: Any) -> None:
        self._real.unregister(fd)
        self._files.discard(fd if isinstance(fd, int) else fd.fileno())

    def poll(self, timeout: float | None = None, *most: int, **options: int) -> Any:
        if timeout == 0 or not self._scheduler.is_virtual_here():
            return self._real.poll(timeout, *most, **options)

        def look(seconds: float | None) -> Any:
            rest = None if seconds is None else seconds * self._per_second
            return self._real.poll(rest, *most, **options)

        seconds = None if timeout is None or timeout < 0 else timeout / self._per_second
        return _waited(self._scheduler, look, bool, seconds, [*map(virtual_file, self._files)])

    def __enter__(self) -> Self:
        self._real.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._real.__exit__(*error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _selected(scheduler: Scheduler, select_: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(select_)
    def selected(self: Any, timeout: float | None = None) -> Any:
        caller = str(sys._getframe(1).f_globals.get("__name__")) + "."
        if (
            (timeout is not None and timeout <= 0)
            or not scheduler.is_virtual_here()
            or caller.startswith(_NOT_HERE)
        ):
            return select_(self, timeout)
        files = [virtual_file(key.fd) for key in self.get_map().values()]
        return _waited(scheduler, partial(select_, self), bool, timeout, files)

    return selected


def _waited(
    scheduler: Scheduler,
    look: Callable[[float | None], Any],
    found: Callable[[Any], bool],
    timeout: float | None,
    files: Sequence[VirtualFile | None],
) -> Any:
    """Wait as `look` does, which takes the seconds that it may wait; what it found at the end.

    Of `files` those are `None` that are real.
    """
    until = None if timeout is None else scheduler.timers.now() + after_delay(timeout)
    virtual = [file for file in files if file is not None]
    if virtual and len(virtual) == len(files):
        _wait_for(scheduler, virtual, lambda: found(look(0)), until)
        return look(0)
    if others_first(scheduler, lambda: found(look(0)), until, virtual=bool(virtual)):
        return look(0)
    result = look(0)
    if found(result):
        return result
    result = look(timeout)  # for another process, with the machine's clock
    if until is not None and not found(result) and until > scheduler.timers.now():
        scheduler.wait("select", until=until)
    return result


def _wait_for(
    scheduler: Scheduler, files: Sequence[VirtualFile], is_ready: Callable[[], bool], until: int | None
) -> None:
    """Return when it is ready, or at the instant `until`; nothing but these files can make it ready."""
    me = scheduler.here()

    def wake() -> None:
        scheduler.wake(me)

    for file in files:
        file.watchers.append(wake)
    try:
        while not is_ready() and scheduler.wait("select", until=until):
            pass
    finally:
        for file in files:
            file.watchers.remove(wake)


def _selectors() -> Iterator[Any]:
    for name in ("SelectSelector", "_PollLikeSelector", "EpollSelector", "DevpollSelector", "KqueueSelector"):
        kind = getattr(selectors, name, None)
        if kind is not None and "select" in vars(kind):
            yield kind


def _connections(scheduler: Scheduler, stack: ExitStack, module: ModuleType) -> None:
    """Let the thread that feeds a `multiprocessing.Queue` write before another one reads."""
    for name in ("_poll", "_recv_bytes"):
        original = getattr(module.Connection, name)
        stack.enter_context(
            replaced(module.Connection, name, _fed(scheduler, original, module.Connection._poll))
        )


def _fed(scheduler: Scheduler, original: Callable[..., Any], poll: Callable[..., bool]) -> Callable[..., Any]:
    @functools.wraps(original)
    def fed(self: Any, *args: Any) -> Any:
        if scheduler.is_virtual_here():
            while scheduler.others_wait_for_a_turn() and not poll(self, 0):
                scheduler.wait("a pipe", until=scheduler.timers.now())
        return original(self, *args)

    return fed
