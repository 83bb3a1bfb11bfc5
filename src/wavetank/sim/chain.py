"""The chain of awaits of a suspended task: through which frames it goes, and where it ends."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, Final, final

_ENGINE: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("asyncio", "anyio", "trio", "outcome"))
_PACKAGE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_PATCHES: Final = f"{_PACKAGE}patches{os.sep}"
_SHOWN: Final = tuple(f"{_PACKAGE}{room}{os.sep}" for room in ("processor", "museum"))
"""Rooms of this package that stand in a report as any program does."""

_ASYNC_GENERATOR_STEPS: Final = ("async_generator_asend", "async_generator_athrow", "anext_awaitable")
_LONGEST: Final = 200


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
        return next((frame for frame in self.engine if "self" in frame.f_locals), None)

    @property
    def resource(self) -> object:
        """The library's object that the program waits on."""
        return None if self.inner is None else self.inner.f_locals["self"]

    def future(self) -> asyncio.Future[Any] | None:
        """The future or task at the end of the chain."""
        return None if self.last is None else _future_behind(self.last)


def chain_of(coro: object) -> Chain:
    """Follow the awaits of a suspended task to their end."""
    chain = Chain()
    for frame, awaited in await_chain(coro):
        if frame is None:
            chain.last = awaited
        elif frame.f_code.co_filename.startswith(_PATCHES):
            continue  # stands around a method of a library that is traced
        elif is_engine(frame):
            chain.engine.append(frame)
        else:
            chain.engine.clear()
            chain.callers.append(frame)
    return chain


def await_chain(coro: Any) -> Iterator[tuple[FrameType | None, object]]:
    """From the outermost coroutine to the innermost awaitable; that one comes with no frame."""
    for _ in range(_LONGEST):
        if inspect.iscoroutine(coro):
            frame, inner = coro.cr_frame, coro.cr_await
        elif inspect.isgenerator(coro):
            frame, inner = coro.gi_frame, coro.gi_yieldfrom
        elif inspect.isasyncgen(coro):
            frame, inner = coro.ag_frame, coro.ag_await
        elif type(coro).__name__ in _ASYNC_GENERATOR_STEPS or type(coro).__name__ == "coroutine_wrapper":
            # These carry no public link to what they drive; the garbage collector knows it.
            driven = [r for r in gc.get_referents(coro) if inspect.isasyncgen(r) or inspect.iscoroutine(r)]
            coro = driven[0] if driven else None
            continue
        else:
            if coro is not None:
                yield None, coro
            return
        if frame is not None:
            yield frame, coro
        coro = inner


def _future_behind(awaitable: object) -> asyncio.Future[Any] | None:
    """The future or task that an awaited iterator stands for; only the garbage collector knows it."""
    if isinstance(awaitable, asyncio.Future):
        return awaitable
    return next((one for one in gc.get_referents(awaitable) if isinstance(one, asyncio.Future)), None)


def is_engine(frame: FrameType) -> bool:
    """Whether a frame belongs to a library that runs tasks."""
    return any(part in frame.f_code.co_filename for part in _ENGINE)


def is_ours(file: str) -> bool:
    """Whether a file is part of the simulation, and so of no interest to a reader."""
    return file.startswith(_PACKAGE) and not file.startswith(_SHOWN)


def at(frame: FrameType) -> str:
    """A frame's place, as `at Gate.entered (gate.py:10)`."""
    file = os.path.basename(frame.f_code.co_filename)
    return f"at {frame.f_code.co_qualname} ({file}:{frame.f_lineno})"


def places(frames: Sequence[FrameType]) -> list[str]:
    """The places of the program's own frames."""
    return [at(frame) for frame in frames if not is_ours(frame.f_code.co_filename)]


def place_of(coro: object) -> str:
    """Where in the program a task is: the innermost of its places."""
    shown = places(chain_of(coro).callers)
    return shown[-1] if shown else "at its start"
