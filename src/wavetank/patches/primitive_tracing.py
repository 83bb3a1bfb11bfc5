"""Hear of what happens to the primitives of asyncio, anyio, trio, threading and queue, without a step more.

Their methods are replaced on the classes, since many of them take no attributes of an instance.
Nothing here holds a primitive, not even weakly: what only its waiters can reach would look
reachable.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType, ModuleType
from typing import Any, Final, Protocol

from ..sim.await_chain import is_engine
from ..sim.origin import kind_of
from .attributes import replaced
from .imports import on_import

_CLASSES: Final = {
    "asyncio": ("Event", "Lock", "Condition", "Semaphore", "Barrier", "Queue"),
    "threading": ("Event", "Condition", "Semaphore", "Barrier"),
    "queue": ("Queue",),
    "wavetank.patches.threads": ("BatonLock", "BatonRLock"),
    "anyio._core._synchronization": (
        "EventAdapter",
        "LockAdapter",
        "SemaphoreAdapter",
        "CapacityLimiterAdapter",
        "Condition",
    ),
    "anyio._backends._asyncio": ("Event", "Lock", "Semaphore", "CapacityLimiter"),
    "anyio._backends._trio": ("Event", "Lock", "Semaphore", "CapacityLimiter"),
    "anyio.streams.memory": ("MemoryObjectSendStream", "MemoryObjectReceiveStream"),
    "trio": (
        "Event",
        "Lock",
        "StrictFIFOLock",
        "Condition",
        "Semaphore",
        "CapacityLimiter",
        "MemorySendChannel",
        "MemoryReceiveChannel",
    ),
}
"""By module; a class or module that a version does not have is left out."""

_ACTIONS: Final = {
    "set": "set",
    "clear": "cleared",
    "put": "put",
    "put_nowait": "put",
    "send": "put",
    "send_nowait": "put",
    "get": "got",
    "get_nowait": "got",
    "receive": "got",
    "receive_nowait": "got",
    "task_done": "task_done",
    "join": "joined",
    "acquire": "acquired",
    "acquire_nowait": "acquired",
    "acquire_on_behalf_of": "acquired",
    "acquire_on_behalf_of_nowait": "acquired",
    "release": "released",
    "release_on_behalf_of": "released",
    "notify": "notified",
    "notify_all": "notified",
    "__aenter__": "acquired",
    "__aexit__": "released",
    "wait": None,
    "close": "closed",
    "shutdown": "closed",
    "abort": "broken",
    "reset": "reset",
}
"""What has happened when a method returns."""

_WAIT: Final = (
    "put",
    "send",
    "get",
    "receive",
    "join",
    "acquire",
    "acquire_on_behalf_of",
    "__aenter__",
    "wait",
)

_FACTORIES: Final = ("__new__", "__init__", "__call__", "_create")
"""Functions of a library in which it makes what the program asked for; also `create_event` and its like."""


class Listener(Protocol):
    """Hears of the calls of a primitive's methods."""

    def hears(self, primitive: object, /) -> bool:
        """Whether it wants reports of this one."""

    def made(self, primitive: object, maker: FrameType | None, /) -> None:
        """A primitive is new; `maker` is the program's frame, if that made it."""

    def began(self, primitive: object, action: str | None, /, *, waits: bool) -> Any:
        """A method is called; what is returned is given to `ended`."""

    def ended(self, call: Any, primitive: object, /, *, happened: bool, gave_up: bool = False) -> None:
        """It returned, and that happened for which it was called; or it raised what `gave_up` the wait."""


def types() -> Iterator[type]:
    """The classes that can be traced, of the libraries that are imported."""
    for name in _CLASSES:
        if name in sys.modules:
            yield from _types_of(sys.modules[name])


def _types_of(module: ModuleType) -> Iterator[type]:
    for name in _CLASSES[module.__name__]:
        if (kind := getattr(module, name, None)) is not None:
            yield kind


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Report every primitive that is made to a listener, and the calls of those that it wants reports of."""
    patched: set[type] = set()
    with ExitStack() as stack:

        def patch(module: ModuleType) -> None:
            for kind in dict.fromkeys(base for each in _types_of(module) for base in _own_bases(each)):
                if kind not in patched:
                    patched.add(kind)
                    _patch(stack, kind, listener)

        # Also what a run is the first to import: else it would show less in a fresh process.
        stack.enter_context(on_import(tuple(_CLASSES), patch))
        yield


def _patch(stack: ExitStack, kind: Any, listener: Listener) -> None:
    for name, method in list(vars(kind).items()):
        if _is_heard(kind, name) and inspect.isfunction(method):
            stack.enter_context(replaced(kind, name, _reporting(listener, kind, name, method)))
            if vars(kind).get("__enter__") is method:
                stack.enter_context(replaced(kind, "__enter__", vars(kind)[name]))
    if "__init__" in vars(kind):
        stack.enter_context(replaced(kind, "__init__", _made(listener, kind)))


def _own_bases(kind: type) -> Iterator[type]:
    """The class and those of its library that it has its methods from; not the abstract ones of anyio."""
    for base in kind.__mro__:
        # anyio renames the module of the abstract ones, but only when somebody first asks for them.
        abstract = base.__module__.startswith("anyio._core.")
        if base is kind or (base.__module__ == kind.__module__ and not abstract):
            yield base


def _is_heard(kind: type, name: str) -> bool:
    """Whether a method is reported; the limiter of anyio on trio is entered without its `acquire`."""
    return name in _ACTIONS and (not name.startswith("__") or "acquire" in vars(kind))


def _reporting(listener: Listener, kind: type, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    action, waits = _ACTIONS[name], name in _WAIT
    if name == "wait" and hasattr(kind, "parties"):
        action = "passed"  # a barrier
    if inspect.iscoroutinefunction(inspect.unwrap(method)):
        return _reporting_async(listener, action, waits, method)

    @functools.wraps(method)
    def traced_method(self: object, *args: Any, **options: Any) -> Any:
        if not listener.hears(self):
            return method(self, *args, **options)
        call = listener.began(self, action, waits=waits)
        try:
            result = method(self, *args, **options)
        except BaseException:
            listener.ended(call, self, happened=False, gave_up=waits)
            raise
        # A lock says so when it was not acquired, an event of `threading` when it was not set.
        listener.ended(call, self, happened=result is not False, gave_up=waits and result is False)
        return result

    return traced_method


def _reporting_async(
    listener: Listener, action: str | None, waits: bool, method: Callable[..., Any]
) -> Callable[..., Any]:
    @functools.wraps(method)
    async def traced_method(self: object, *args: Any, **options: Any) -> Any:
        if not listener.hears(self):
            return await method(self, *args, **options)
        call = listener.began(self, action, waits=waits)
        try:
            result = await method(self, *args, **options)
        except GeneratorExit:  # the run is over, and nothing has happened
            raise
        except BaseException:
            listener.ended(call, self, happened=False, gave_up=waits)
            raise
        listener.ended(call, self, happened=True)
        return result

    return traced_method


def _made(listener: Listener, kind: Any) -> Callable[..., None]:
    init: Callable[..., None] = kind.__init__

    @functools.wraps(init)
    def made(self: object, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        caller = sys._getframe(1)
        while caller.f_code.co_filename == __file__ and caller.f_back is not None:
            caller = caller.f_back  # another listener hears of it as well
        # `anyio.Event()` makes one in its `__new__`, and Python calls its `__init__` again then.
        if is_engine(caller) or not kind.__module__.startswith("anyio._backends."):
            listener.made(self, _maker(caller, self))

    return made


def _maker(frame: FrameType | None, made: object) -> FrameType | None:
    """The frame of the program that asked for a primitive; `None` if a library made it for itself."""
    while frame is not None and _is_factory(frame):
        if isinstance(frame.f_locals.get("self"), tuple(types())) and frame.f_locals["self"] is not made:
            return None
        frame = frame.f_back
    return frame if frame is not None and kind_of(frame) in ("own", "shown") else None


def _is_factory(frame: FrameType) -> bool:
    code = frame.f_code
    known = code.co_name in _FACTORIES or code.co_name.startswith("create_")
    ours = code.co_filename.startswith(os.path.dirname(__file__))
    generated = code.co_filename.startswith(("<attrs ", "<string>"))
    return known and (is_engine(frame) or ours or generated)
