"""The deadlines that the program has set itself: one of them may pass in a stall, however far it is.

What the outermost deadline of `main` ends is the test itself: it never passes so, and moves away by the
length of the stall. But one that `main` sets where it has set one before is one of many,
as of an attempt in a loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sized
from types import MethodType
from typing import Any, Final, Protocol, final

from .await_chain import chain_of
from .timers import Timers

_ENDS: Final = frozenset(("_on_timeout", "_timeout", "_release_waiter", "cancel", "timeout", "__call__"))
"""The names of what a deadline calls in asyncio (`timeout`, `wait_for`, `Task.cancel`), anyio and aiohttp."""

Place = tuple[tuple[str, int], ...]


class Deadlines(Protocol):
    """Knows the deadlines of one engine."""

    @property
    def known(self) -> Sized:
        """Those to look through; while there are none, none may pass."""

    def may_pass(self, beyond: int) -> bool:
        """Whether there is one behind the instant `beyond` that may pass."""

    def ahead(self, beyond: int) -> list[int]:
        """The instants just past those that may pass behind `beyond`, each once and in order."""

    def postpone(self, length: int) -> None:
        """Move the deadline of the test itself, if there is one, by the length of a stall."""


@final
class OwnDeadline:
    """Tells whether the outermost deadline of `main` is that of the whole test."""

    def __init__(self) -> None:
        self._places: dict[Place, None] = {}
        self._last: object = None
        self._of_the_test = True

    def is_of_the_test(self, deadline: object, place: Callable[[], Place]) -> bool:
        """Whether the deadline is; `place` says where `main` waits now."""
        if deadline is not self._last:
            here = place()
            self._last, self._of_the_test = deadline, here not in self._places
            self._places[here] = None
        return self._of_the_test


def place_in(coro: object) -> Place:
    """Where a task waits: the function and line of each of its frames."""
    return tuple((frame.f_code.co_qualname, frame.f_lineno) for frame in chain_of(coro).callers)


@final
class AsyncioDeadlines:
    """Those that are timers of an event loop; which of them are `main`'s is noted when they are set."""

    def __init__(self, timers: Timers, main: asyncio.Task[Any]) -> None:
        self._timers = timers
        self._main = main
        self.known: list[tuple[int, asyncio.TimerHandle]] = []
        self._of_main: dict[object, tuple[int, asyncio.TimerHandle]] = {}
        """By the scope that has it; the outermost is the first."""
        self._own = OwnDeadline()

    def note(self, when: int, handle: asyncio.TimerHandle) -> None:
        """A timer was set: keep it if it is a deadline."""
        callback: Any = handle._callback  # type: ignore[attr-defined]
        if getattr(callback, "__name__", "") not in _ENDS:
            return
        self.known.append((when, handle))
        scope = callback.__self__ if isinstance(callback, MethodType) else handle
        if scope in self._of_main or asyncio.current_task(self._main.get_loop()) is self._main:
            self._of_main[scope] = when, handle

    def may_pass(self, beyond: int) -> bool:
        return next(self._beyond(beyond), None) is not None

    def ahead(self, beyond: int) -> list[int]:
        return sorted({*self._beyond(beyond)})

    def postpone(self, length: int) -> None:
        spared = self._spared()
        if spared is not None:
            when, handle = spared
            self._timers.postpone(handle, length)
            self._of_main[next(iter(self._of_main))] = when + length, handle

    def _beyond(self, beyond: int) -> Iterator[int]:
        now = self._timers.now()
        self.known = [each for each in self.known if each[0] > now and not each[1].cancelled()]
        spared = self._spared()
        before = None if spared is None else spared[0]
        for when, _ in self.known:
            if when > beyond and (before is None or when < before):
                yield when

    def _spared(self) -> tuple[int, asyncio.TimerHandle] | None:
        """The deadline of the test itself, with its instant."""
        while self._of_main:
            scope, (when, handle) = next(iter(self._of_main.items()))
            if when > self._timers.now() and not handle.cancelled():
                of_the_test = self._own.is_of_the_test(scope, self._place_of_main)
                return (when, handle) if of_the_test else None
            del self._of_main[scope]
        return None

    def _place_of_main(self) -> Place:
        return place_in(self._main.get_coro())
