"""The chain of awaits of a suspended task: through which frames it goes, and where it ends."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, GeneratorType
from typing import Any, Final, Literal, final

from .origin import kind_of, name_of_file

_ENGINE: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("asyncio", "anyio", "trio", "outcome"))
_LOCK_RECORDING: Final = os.path.join("wavetank", "patches", "lock_recording.py")
_PATCHES: Final = f"{os.path.dirname(os.path.dirname(os.path.abspath(__file__)))}{os.sep}patches{os.sep}"

_DRIVEN: Final = (CoroutineType, GeneratorType, AsyncGeneratorType)
_STEPPED: Final = (CoroutineType, AsyncGeneratorType)
_ASYNC_GENERATOR_STEPS: Final = (
    *("async_generator_asend", "async_generator_athrow", "anext_awaitable", "coroutine_wrapper"),
)
_LONGEST: Final = 200
_OF_A_LIBRARY: Final = 3
"""So many frames are shown of a task that a library started, without any of the program's own."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Suspended:
    """A task between two of its steps; `can_run` also if a timer will cancel it."""

    name: str
    task: Any
    coro: Any
    can_run: bool = False
    is_main: bool = False


@final
@dataclass(slots=True)
class Chain:
    """`callers` are the program's frames, outermost first; `engine` those of the library behind them."""

    callers: list[FrameType] = field(default_factory=list)
    engine: list[FrameType] = field(default_factory=list)
    last: object = None
    """What is awaited in the end, if it is no coroutine."""

    @property
    def inner(self) -> FrameType | None:
        """The library's frame in which the program waits, if it has a `self`."""
        for frame in self.engine:
            # Names first: to read the values of a frame makes a dict of all its variables.
            if _has_self(frame.f_code) and "self" in frame.f_locals:
                return frame
        return None

    @property
    def resource(self) -> object:
        """The library's object that the program waits on."""
        inner = self.inner
        return None if inner is None else inner.f_locals["self"]

    def future(self) -> asyncio.Future[Any] | None:
        """The future or task at the end of the chain."""
        return None if self.last is None else _future_behind(self.last)


def chain_of(coro: object, *, whole: bool = True) -> Chain:
    """Follow the awaits of a suspended task to their end.

    Not `whole`: without the frames further out than the innermost of the program's own, which is quicker.
    """
    parts = _parts(coro)
    chain = Chain(last=parts[-1] if parts and not isinstance(parts[-1], _DRIVEN) else None)
    for part in reversed(parts):
        frame = _frame_of(part)
        if frame is None:
            continue
        role = _role(frame.f_code.co_filename)
        if role == "caller":
            chain.callers.insert(0, frame)
            if not whole and kind_of(frame) in ("own", "shown"):
                break
        elif role == "engine" and not chain.callers:
            chain.engine.insert(0, frame)
    return chain


@cache
def _role(file: str) -> Literal["caller", "engine", "wrapper"]:
    """What the frames of a file are in a chain; a wrapper stands around a traced method of a library."""
    if file.startswith(_PATCHES):
        return "wrapper"
    return "engine" if is_engine_file(file) else "caller"


def _has_self(code: CodeType) -> bool:
    """Whether a function has a variable `self`: its first argument, or one that a closure reads."""
    return (code.co_argcount > 0 and code.co_varnames[0] == "self") or "self" in code.co_freevars


def await_chain(coro: object) -> Iterator[tuple[FrameType | None, object]]:
    """From the outermost coroutine to the innermost awaitable; that one comes with no frame."""
    for part in _parts(coro):
        frame = _frame_of(part)
        if frame is not None or not isinstance(part, _DRIVEN):
            yield frame, part


def _parts(coro: Any) -> list[Any]:
    """What awaits what, outermost first; the last is what is awaited in the end, if it is no coroutine."""
    found: list[Any] = []
    while coro is not None and len(found) < _LONGEST:
        if isinstance(coro, CoroutineType):
            found.append(coro)
            coro = coro.cr_await
        elif isinstance(coro, GeneratorType):
            found.append(coro)
            coro = coro.gi_yieldfrom
        elif isinstance(coro, AsyncGeneratorType):
            found.append(coro)
            coro = coro.ag_await
        elif type(coro).__name__ in _ASYNC_GENERATOR_STEPS:
            # These carry no public link to what they drive; the garbage collector knows it.
            coro = next((one for one in gc.get_referents(coro) if isinstance(one, _STEPPED)), None)
        else:
            found.append(coro)
            break
    return found


def _frame_of(part: Any) -> FrameType | None:
    """The frame of a coroutine or generator; none if it has ended, or is something else."""
    if isinstance(part, CoroutineType):
        return part.cr_frame
    if isinstance(part, GeneratorType):
        return part.gi_frame
    return part.ag_frame if isinstance(part, AsyncGeneratorType) else None


def _future_behind(awaitable: object) -> asyncio.Future[Any] | None:
    """The future or task that an awaited iterator stands for; only the garbage collector knows it."""
    if isinstance(awaitable, asyncio.Future):
        return awaitable
    return next((one for one in gc.get_referents(awaitable) if isinstance(one, asyncio.Future)), None)


def is_engine(frame: FrameType) -> bool:
    """Whether a frame belongs to a library that runs tasks."""
    return is_engine_file(frame.f_code.co_filename)


@cache
def is_engine_file(file: str) -> bool:
    """Whether a file belongs to a library that runs tasks, or to what takes note of its locks."""
    return any(part in file for part in _ENGINE) or file.endswith(_LOCK_RECORDING)


def at(frame: FrameType) -> str:
    """A frame's place, as `at Gate.entered (app/gate.py:10)`."""
    return f"at {_where(frame)}"


def _where(frame: FrameType) -> str:
    return f"{frame.f_code.co_qualname} ({name_of_file(frame.f_code.co_filename)}:{frame.f_lineno})"


def places(frames: Sequence[FrameType]) -> list[str]:
    """The places of the program's own frames, and which function of a library the innermost calls."""
    kinds = [kind_of(frame) for frame in frames]
    own = [number for number, kind in enumerate(kinds) if kind in ("own", "shown")]
    libraries = [number for number, kind in enumerate(kinds) if kind == "installed"]
    if not own:
        return [at(frames[number]) for number in libraries[-_OF_A_LIBRARY:]]
    entered = [f"in {_where(frames[number])}" for number in libraries if number > own[-1]]
    return [*(at(frames[number]) for number in own), *entered[:1]]


def innermost(frames: Sequence[FrameType]) -> FrameType | None:
    """The innermost of the program's own frames or, without one, of a library's."""
    found: FrameType | None = None
    for frame in reversed(frames):
        kind = kind_of(frame)
        if kind in ("own", "shown"):
            return frame
        if kind == "installed" and found is None:
            found = frame
    return found


def place_of(coro: object) -> str:
    """Where in the program a task is: the innermost of its places."""
    frame = innermost(chain_of(coro).callers)
    return at(frame) if frame is not None else "at its start"
