"""Drop a suspended coroutine as the crash of its process does: none of its `finally` or `except` runs.

Python has no way to do this: to close a coroutine, or to lose the last reference to it, raises
`GeneratorExit` where it waits. So its frame is marked as one that has returned, by the byte of the object
that says so. An experiment finds the place of that byte, since it differs between versions of Python.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import cache
from gc import get_referents
from io import IOBase
from types import AsyncGeneratorType, BuiltinMethodType, CoroutineType, GeneratorType, MethodType
from typing import Any, Final

from .private_names import require

require(
    contextlib,
    "_GeneratorContextManagerBase",
    "_BaseExitStack",
    of=f"contextlib of Python {platform.python_version()}",
    supported="use a Python that wavetank supports (3.11 to 3.14)",
)

_SUSPENDABLE: Final = (CoroutineType, GeneratorType, AsyncGeneratorType)
_MANAGERS: Final = (vars(contextlib)["_GeneratorContextManagerBase"], vars(contextlib)["_BaseExitStack"])
"""Context managers that keep a generator open, or other context managers."""

_WRAPPERS: Final = ("coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable")
"""Types of CPython that stand between a coroutine and what it awaits."""

_CREATED: Final = (-2, -3)
_WAITS: Final = -1
_EXECUTING: Final = 0
_COMPLETED: Final = 1
_CLEARED: Final = 4
"""The states of a frame in CPython's pycore_frame.h; that of a new one is -3 from 3.13 on."""


def drop_frames(coro: object) -> None:
    """Let go of a coroutine and of all that it awaits, without resuming any of it.

    Generators that only it holds are dropped too, and those of its open `with` blocks. Files that only it
    holds are closed, and what was not flushed is lost.

    Raises:
        NotImplementedError: this Python keeps the state of a coroutine in another way.
    """
    found: dict[int, Any] = {}
    _collect(coro, found)
    place = _place_of_state()
    for each in found.values():
        if isinstance(each, _SUSPENDABLE):
            state = ctypes.c_int8.from_address(id(each) + place)
            if state.value < _EXECUTING:
                state.value = _COMPLETED


def _is_over(each: Any) -> bool:
    names = ("cr_frame", "gi_frame", "ag_frame")
    return next(getattr(each, name) for name in names if hasattr(each, name)) is None


def _collect(thing: Any, found: dict[int, Any]) -> None:
    """Everything to be dropped with `thing`, by its address."""
    if id(thing) in found or (isinstance(thing, _SUSPENDABLE) and _is_over(thing)):
        return
    found[id(thing)] = thing
    for each in _held_by(thing):
        _collect(each, found)


def _held_by(thing: Any) -> Iterator[Any]:
    if isinstance(thing, _SUSPENDABLE):
        yield from _awaited_by(thing)
        yield from _held_by_frame(thing)
    elif isinstance(thing, MethodType):
        if isinstance(thing.__self__, _MANAGERS):
            yield thing.__self__
    elif isinstance(thing, _MANAGERS[0]):
        yield thing.gen
    elif isinstance(thing, _MANAGERS[1]):
        for _, callback in vars(thing)["_exit_callbacks"]:
            yield callback
    elif type(thing).__name__ in _WRAPPERS:
        yield from (each for each in get_referents(thing) if isinstance(each, _SUSPENDABLE))


def _awaited_by(thing: Any) -> Iterator[Any]:
    for name in ("cr_await", "gi_yieldfrom", "ag_await"):
        awaited = getattr(thing, name, None)
        if isinstance(awaited, _SUSPENDABLE) or type(awaited).__name__ in _WRAPPERS:
            yield awaited


def _held_by_frame(thing: Any) -> Iterator[Any]:
    """What lies in its variables and open blocks, as far as it ends with the frame."""
    held = get_referents(thing)
    for each in held:
        # Besides the frame, the list, this loop and the call below hold it.
        if isinstance(each, (MethodType, *_MANAGERS)) or (
            isinstance(each, _SUSPENDABLE) and sys.getrefcount(each) <= 2 * _times(each, held) + 2
        ):
            yield each
        elif type(each).__module__.partition(".")[0] == "anyio":
            # The handle of a task that has not begun: its coroutine would be said never to be awaited.
            yield from (one for one in get_referents(each) if isinstance(one, CoroutineType))
        elif isinstance(each, IOBase) and sys.getrefcount(each) <= 2 * _times(each, held) + 2 + sum(
            isinstance(one, BuiltinMethodType) and one.__self__ is each for one in held
        ):
            _close_unwritten(each)


def _close_unwritten(file: IOBase) -> None:
    """Close a file as the system does for a process that is killed: what is in its buffer is lost."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, file.fileno(), inheritable=False)
        os.close(nowhere)
        file.close()


def _times(one: Any, held: list[Any]) -> int:
    return sum(other is one for other in held)


class _Wait:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def _waits() -> None:
    await _Wait()


@cache
def _place_of_state() -> int:
    """Which byte of a coroutine says in what state its frame is."""
    coro = _waits()
    stages = [_bytes_of(coro)]
    coro.send(None)
    stages.append(_bytes_of(coro))
    coro.close()
    stages.append(_bytes_of(coro))
    places = [
        place
        for place, (created, waits, closed) in enumerate(zip(*stages, strict=True))
        if created in _CREATED and waits == _WAITS and closed == _CLEARED
    ]
    if platform.python_implementation() != "CPython" or len(places) != 1:
        raise NotImplementedError(
            f"a replica cannot crash on {platform.python_implementation()} {platform.python_version()}: "
            "use a CPython that wavetank supports (3.11 to 3.14)"
        )
    return places[0]


def _bytes_of(coro: Any) -> list[int]:
    raw = ctypes.string_at(id(coro), type(coro).__basicsize__)
    return [byte - 256 if byte > 127 else byte for byte in raw]
