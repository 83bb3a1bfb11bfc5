"""What a replica was started with: a function in a task or a thread of its own, and what became of it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, Protocol, final

from ..seams.waiting import AsyncEvent, BlockingEvent, Waits
from ..sim.fingerprint import is_coroutine_function


class ReplicaCrashed(Exception):
    """The replica that was asked for something has crashed, and is not to be restarted by itself."""


class Owner(Protocol):
    """The replica that a task runs in."""

    name: str

    @property
    def is_up(self) -> bool:
        """Whether it runs, or will be restarted."""

    def function(self, named: Callable[..., Any] | str, /) -> Callable[..., Any]:
        """The function of the replica's own modules that is meant."""


@final
class ReplicaTask:
    """A function that a replica runs until it returns, raises or the replica crashes."""

    __slots__ = (
        "_args",
        "_error",
        "_function",
        "_kept",
        "_life",
        "_owner",
        "_value",
        "_waiting",
        "_waits",
        "done",
    )

    def __init__(
        self,
        owner: Owner,
        waits: Waits,
        function: Callable[..., Any] | str,
        args: tuple[Any, ...],
        options: dict[str, Any],
    ) -> None:
        self.done = False
        """Whether the function has returned or raised."""
        self._owner = owner
        self._waits = waits
        self._function = function
        self._args = args, options
        self._waiting: list[AsyncEvent | BlockingEvent] = []
        self._value: Any = None
        self._error: BaseException | None = None
        self._life = 0
        self._kept: Any = None

    def begin(self, context: Context) -> None:
        """Run the function in a task of the running event loop if it is `async def`, else in a thread.

        Raises:
            RuntimeError: there is no event loop for it.
        """
        function = self._owner.function(self._function)
        name = getattr(function, "__qualname__", "main").rpartition("<locals>.")[2]
        args, options = self._args
        self._life += 1
        if is_coroutine_function(function):
            self._kept = _in_a_task(
                lambda: self._awaited(function(*args, **options), self._life), name, context
            )
        else:
            body = lambda: self._called(lambda: function(*args, **options), self._life)  # noqa: E731
            self._kept = threading.Thread(target=context.run, args=(body,), name=name, daemon=True)
            context.copy().run(self._kept.start)

    async def _awaited(self, call: Coroutine[Any, Any, Any], life: int) -> None:
        try:
            value = await call
        except Exception as error:
            self._ended(life, None, error)
        else:
            self._ended(life, value, None)

    def _called(self, call: Callable[[], Any], life: int) -> None:
        try:
            value = call()
        except Exception as error:
            self._ended(life, None, error)
        else:
            self._ended(life, value, None)

    def _ended(self, life: int, value: Any, error: BaseException | None) -> None:
        if life == self._life:
            self.done, self._value, self._error, self._kept = True, value, error, None
            self.changed()

    def changed(self) -> None:
        """Wake what waits for it, so that it looks again."""
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.set()

    async def wait(self) -> Any:
        """Wait until the function has ended, and return what it returned.

        Raises:
            ReplicaCrashed: the replica has crashed and stays down.
            Exception: what the function raised.
        """
        while self._is_pending():
            event = self._waits.event()
            self._waiting.append(event)
            await event.wait()
        return self._result()

    def join(self) -> Any:
        """As `wait`, for a thread."""
        while self._is_pending():
            event = self._waits.blocking_event()
            self._waiting.append(event)
            event.wait()
        return self._result()

    def _is_pending(self) -> bool:
        return not self.done and self._owner.is_up

    def _result(self) -> Any:
        if not self.done:
            raise ReplicaCrashed(f"replica {self._owner.name!r} has crashed")
        if self._error is not None:
            raise self._error
        return self._value

    def __repr__(self) -> str:
        return f"<ReplicaTask of {self._owner.name!r}, {'done' if self.done else 'running'}>"


def _in_a_task(body: Callable[[], Coroutine[Any, Any, None]], name: str, context: Context) -> object:
    """Run `body` in a task of the running event loop, beside all task groups."""
    loop = asyncio._get_running_loop()
    if loop is not None:
        return loop.create_task(body(), name=name, context=context)
    trio = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_run():
        return trio.lowlevel.spawn_system_task(body, name=name, context=context)
    raise RuntimeError(
        "a replica is started with a coroutine function where no event loop runs: "
        "start it from a coroutine, or give a plain function, which has a thread of its own"
    )
