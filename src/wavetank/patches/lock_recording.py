"""Take note of who acquires the locks, semaphores and limiters of asyncio, anyio and trio."""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, Final

from ..sim.await_chain import is_engine_file
from ..sim.lock_records import released
from ..sim.origin import caller_file
from ..sim.scheduler import Scheduler
from .attributes import replaced
from .imports import on_import

_KINDS: Final = ("Lock", "Semaphore", "CapacityLimiter")
_LIBRARIES: Final = ("anyio._backends._asyncio", "anyio._backends._trio", "trio")


@contextmanager
def holdings_noted(scheduler: Scheduler) -> Iterator[None]:
    """Note in the runs of `scheduler` that are to be reported on who holds what, until the block ends."""
    with ExitStack() as stack:
        for kind in (asyncio.Lock, asyncio.Semaphore):
            _patch(stack, kind, scheduler)

        def patch_library(library: ModuleType) -> None:
            for name in _KINDS:
                if hasattr(library, name):  # anyio has had them of its own for each backend since 4.5
                    _patch(stack, getattr(library, name), scheduler)

        stack.enter_context(on_import(_LIBRARIES, patch_library))
        yield


def _patch(stack: ExitStack, kind: Any, scheduler: Scheduler) -> None:
    for name, wrapper in _WRAPPERS.items():
        owner = next((each for each in kind.__mro__ if name in vars(each)), None)
        if owner is not None:  # asyncio has no `acquire_nowait`
            stack.enter_context(replaced(owner, name, wrapper(vars(owner)[name], scheduler)))


def _acquire(original: Callable[..., Any], scheduler: Scheduler) -> Callable[..., Any]:
    async def acquire(self: Any, *borrower: object) -> Any:
        result = await original(self, *borrower)
        scheduler.witness.acquired(self, *map(id, borrower))
        return result

    @functools.wraps(original)
    def noted(self: Any, *borrower: object, **named: object) -> Any:
        if scheduler.witness.attentive and scheduler.is_mine() and not _by_itself(self):
            return acquire(self, *borrower, *named.values())
        return original(self, *borrower, **named)

    return noted


def _by_itself(thing: object) -> bool:
    """Whether another of these methods of the same object calls: that one takes note, then."""
    caller = sys._getframe(2)
    return caller.f_code.co_name in _WRAPPERS and caller.f_locals.get("self") is thing


def _acquire_nowait(original: Callable[..., Any], scheduler: Scheduler) -> Callable[..., Any]:
    @functools.wraps(original)
    def noted(self: Any, *borrower: object, **named: object) -> Any:
        result = original(self, *borrower, **named)
        # The library's own `acquire` calls it as well, and is noted itself.
        if scheduler.witness.attentive and scheduler.is_mine() and not is_engine_file(caller_file()):
            scheduler.witness.acquired(self, *map(id, (*borrower, *named.values())))
        return result

    return noted


def _release(original: Callable[..., Any], scheduler: Scheduler) -> Callable[..., Any]:
    @functools.wraps(original)
    def noted(self: Any, *borrower: object, **named: object) -> Any:
        result = original(self, *borrower, **named)
        if scheduler.witness.attentive and scheduler.is_mine() and not _by_itself(self):
            released(self, scheduler.witness.who_runs(), *map(id, (*borrower, *named.values())))
        return result

    return noted


_WRAPPERS: Final = {
    "acquire": _acquire,
    "acquire_nowait": _acquire_nowait,
    "release": _release,
    "acquire_on_behalf_of": _acquire,
    "acquire_on_behalf_of_nowait": _acquire_nowait,
    "release_on_behalf_of": _release,
}
"""Asyncio has some of them; only limiters have all."""
