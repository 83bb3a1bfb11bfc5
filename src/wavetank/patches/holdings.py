"""Take note of who acquires the locks and semaphores of asyncio, anyio and trio."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any, Final

from ..sim.chain import is_engine_file
from ..sim.holdings import released
from ..sim.host import Host
from ..sim.origin import caller_file
from .attributes import replaced
from .imports import on_import

_LIBRARIES: Final = {
    "anyio._backends._asyncio": ("Lock", "Semaphore"),
    "anyio._backends._trio": ("Lock", "Semaphore"),
    "trio": ("Lock", "Semaphore"),
}


@contextmanager
def holdings_noted(host: Host) -> Iterator[None]:
    """Note in the runs of `host` that are to be reported on who holds what, until the block ends."""
    with ExitStack() as stack:
        for kind in (asyncio.Lock, asyncio.Semaphore):
            _patch(stack, kind, host)

        def patch_library(library: ModuleType) -> None:
            for name in _LIBRARIES[library.__name__]:
                if hasattr(library, name):  # anyio has had them of its own for each backend since 4.5
                    _patch(stack, getattr(library, name), host)

        stack.enter_context(on_import(tuple(_LIBRARIES), patch_library))
        yield


def _patch(stack: ExitStack, kind: Any, host: Host) -> None:
    wrappers = {"acquire": _acquire, "acquire_nowait": _acquire_nowait, "release": _release}
    for name, wrapper in wrappers.items():
        owner = next((each for each in kind.__mro__ if name in vars(each)), None)
        if owner is not None:  # asyncio has no `acquire_nowait`
            stack.enter_context(replaced(owner, name, wrapper(vars(owner)[name], host)))


def _acquire(original: Callable[..., Any], host: Host) -> Callable[..., Any]:
    async def acquire(self: Any) -> Any:
        result = await original(self)
        host.witness.acquired(self)
        return result

    @functools.wraps(original)
    def noted(self: Any) -> Any:
        return acquire(self) if host.witness.attentive and host.is_mine() else original(self)

    return noted


def _acquire_nowait(original: Callable[..., Any], host: Host) -> Callable[..., Any]:
    @functools.wraps(original)
    def noted(self: Any) -> Any:
        result = original(self)
        # The library's own `acquire` calls it as well, and is noted itself.
        if host.witness.attentive and host.is_mine() and not is_engine_file(caller_file()):
            host.witness.acquired(self)
        return result

    return noted


def _release(original: Callable[..., Any], host: Host) -> Callable[..., Any]:
    @functools.wraps(original)
    def noted(self: Any) -> Any:
        result = original(self)
        if host.witness.attentive and host.is_mine():
            released(self, host.witness.who_runs())
        return result

    return noted
