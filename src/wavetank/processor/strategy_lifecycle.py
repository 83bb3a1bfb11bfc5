"""Prepares a strategy for its first user in an event loop, and cleans it up after the last one."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, TypeVar, final

import anyio
from anyio.lowlevel import RunVar

from .items import CallResult, LLMCallStrategy, LLMWorkItem

T = TypeVar("T")
Call = Callable[[str], Awaitable[T | CallResult[T]]]

CLEANUP_SECONDS: Final = 30.0
"""How long a `cleanup` may take: closing connections takes seconds, and one that hangs must not block."""

logger: Final = logging.getLogger(__name__)


@final
class _PlainCall(Generic[T]):
    """A plain async function as a strategy: it gets only the prompt."""

    def __init__(self, call: Call[T]) -> None:
        self._call = call

    @property
    def call(self) -> Call[T]:
        """The function."""
        return self._call

    async def prepare(self) -> None:
        """Nothing to prepare."""

    async def execute(self, item: LLMWorkItem[Any]) -> T | CallResult[T]:
        """Call the function with the item's prompt."""
        return await self._call(item.prompt)

    async def cleanup(self) -> None:
        """Nothing to clean up."""


def as_strategy(call: Call[T] | LLMCallStrategy[T], *, of: str = "call") -> LLMCallStrategy[T]:
    """The strategy for a function or a strategy; `of` names it in an error.

    Raises:
        TypeError: it is neither.
    """
    # A class has the methods of its instances, but they cannot be called without one.
    if isinstance(call, LLMCallStrategy) and not isinstance(call, type):
        return call
    if callable(call) and not isinstance(call, type):
        return _PlainCall(call)
    raise TypeError(
        f"{of} must be an async function or have the methods prepare, execute and cleanup, "
        f"not {call!r}; pass a function or an instance of a strategy"
    )


def program_of(strategy: LLMCallStrategy[Any]) -> str:
    """The function or class that sends requests, by its file and name: the same in each run of a program."""
    code: Any = strategy.call if isinstance(strategy, _PlainCall) else type(strategy)
    code = getattr(code, "func", code)
    named = code if hasattr(code, "__qualname__") else type(code)
    module = sys.modules.get(named.__module__)
    file = getattr(module, "__file__", None) or named.__module__
    return f"{os.path.realpath(file)}:{named.__qualname__}"


@final
class Lease:
    """A strategy that is used in one event loop, and the number of its users."""

    def __init__(self, strategy: LLMCallStrategy[Any]) -> None:
        self.strategy: Final = strategy
        self.users = 0
        self.prepared = False
        self._touched = False
        self._error: Exception | None = None
        self._turn = anyio.Lock(fast_acquire=True)

    def __repr__(self) -> str:
        return f"<Lease of {self.strategy!r}, {self.users} users{', prepared' if self.prepared else ''}>"

    async def prepare(self) -> None:
        """Await `prepare` of the strategy unless that is done; concurrent callers wait for it.

        Raises:
            Exception: any error of `prepare`, for all users until the last one has left.
        """
        if self.prepared:
            return
        async with self._turn:
            if self._error is not None:
                raise self._error
            if not self.prepared:
                await self._prepare()

    async def _prepare(self) -> None:
        self._touched = True
        try:
            await self.strategy.prepare()
        except Exception as error:
            self._error = error
            raise
        self.prepared = True

    async def leave(self) -> None:
        """Remove one user; after the last one the strategy is cleaned up, even in a cancelled scope.

        An error in `cleanup` is logged, so that it hides neither results nor other errors.
        """
        self.users -= 1
        if self.users == 0 and self._touched:
            try:
                with anyio.fail_after(CLEANUP_SECONDS, shield=True):
                    await self._clean_up()
            except Exception:
                what = self.strategy
                logger.exception("cleanup of %r failed; the results of the batch are not affected", what)
        if self.users == 0:
            _leases().pop(id(self.strategy), None)

    async def _clean_up(self) -> None:
        async with self._turn:
            if self.users == 0 and self._touched:
                self._touched = self.prepared = False
                self._error = None
                await self.strategy.cleanup()


_IN_THIS_LOOP: Final[RunVar[dict[int, Lease]]] = RunVar("wavetank_leases")


def _leases() -> dict[int, Lease]:
    try:
        return _IN_THIS_LOOP.get()
    except LookupError:
        found: dict[int, Lease] = {}
        _IN_THIS_LOOP.set(found)
        return found


def lease(strategy: LLMCallStrategy[Any]) -> Lease:
    """Become a user of a strategy; call `leave` of the lease at the end."""
    leases = _leases()
    found = leases.get(id(strategy))
    if found is None:
        found = leases[id(strategy)] = Lease(strategy)
    found.users += 1
    return found


@final
class Strategies(Generic[T]):
    """The strategies of one processor: its own, and those of its items.

    Args:
        own: the strategy of items that have none.
    """

    def __init__(self, own: LLMCallStrategy[T]) -> None:
        self.own: Final = own
        self._entered = False
        self._leases: dict[int, Lease] = {}

    def __repr__(self) -> str:
        return f"<Strategies {', '.join(repr(each.strategy) for each in self._leases.values())}>"

    def of(self, item: LLMWorkItem[Any], request: LLMWorkItem[Any]) -> LLMCallStrategy[T]:
        """The strategy that sends an item: that of its prepared request, its own, or the processor's."""
        strategy = item.strategy if request.strategy is None else request.strategy
        return self.own if strategy is None else as_strategy(strategy)

    def enter(self) -> None:
        """Take note that the processor was entered: from now on it cleans up the strategies it used."""
        self._entered = True
        self._lease(self.own)

    def is_ready(self, strategy: LLMCallStrategy[T]) -> bool:
        """Whether the strategy needs no preparation any more."""
        return isinstance(strategy, _PlainCall) or self._lease(strategy).prepared

    async def prepare(self, strategies: Iterable[LLMCallStrategy[T]]) -> None:
        """Prepare each one once.

        Raises:
            Exception: any error of a `prepare`; the strategies after it are not prepared.
        """
        for strategy in strategies:
            if not self.is_ready(strategy):
                await self._lease(strategy).prepare()

    async def leave(self) -> None:
        """Clean up the strategies that no other processor uses, the latest first."""
        leases = list(self._leases.values()) if self._entered else []
        self._entered = False
        self._leases.clear()
        for found in reversed(leases):
            await found.leave()

    def _lease(self, strategy: LLMCallStrategy[T]) -> Lease:
        """The lease of this processor; without `async with` nothing would end it, so it is not shared."""
        found = self._leases.get(id(strategy))
        if found is None:
            found = lease(strategy) if self._entered else _leases().get(id(strategy)) or Lease(strategy)
            self._leases[id(strategy)] = found
        return found
