"""Say where a task is blocked: its await chain, what it waits for by name, and who holds that."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any, Final, NamedTuple

_ENGINE: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("asyncio", "anyio", "trio", "outcome"))
_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STANDARD: Final = os.path.dirname(os.__file__) + os.sep
_TEST_RUNNER: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("_pytest", "pluggy"))
_FRAMES: Final = 12
_NAMED: Final = 5
_STATISTICS: Final = (
    "tasks_waiting",
    "current_buffer_used",
    "max_buffer_size",
    "open_send_streams",
    "open_receive_streams",
)
_UNNAMED: Final = "functools"
"""What anyio calls a task that runs a partial function."""

_ASYNC_GENERATOR_STEPS: Final = ("async_generator_asend", "async_generator_athrow", "anext_awaitable")


class _Wait(NamedTuple):
    resource: object
    where: str
    callers: list[FrameType]


def called(name: str, coro: object, number: int) -> str:
    """A task's name in a report: the user's own, or, if a library made it up, its function and its number."""
    function = getattr(coro, "__qualname__", "task") if name in ("", _UNNAMED) else _function_of(name)
    return name if function is None else f"{function.rpartition('<locals>.')[2]}#{number}"


def _function_of(name: str) -> str | None:
    """The function in a name that is a module and a function, as anyio and trio make them up."""
    module, _, function = name.rpartition(".")
    while module:
        if hasattr(sys.modules.get(module), function.partition(".")[0]):
            return function
        module, _, last = module.rpartition(".")
        function = f"{last}.{function}"
    return None


def describe_task(task: object, coro: object, names: Mapping[int, str]) -> str:
    """A paragraph on one blocked task: its chain from the outermost await to what it waits for.

    `names` are those of the tasks, by identity.
    """
    lines = [f"  task {names[id(task)]!r}", *(f"    {line}" for line in describe_chain(coro, names))]
    return "\n".join(lines)


def describe_thread(name: str, frame: FrameType | None, what: str) -> str:
    """A paragraph on one blocked thread: the program's frames, outermost first, and what it waits for."""
    chain: list[str] = []
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((_OURS, _STANDARD, "<frozen ")) and not any(
            part in file for part in _TEST_RUNNER
        ):
            chain.insert(0, f"    {_at(frame)}")
        frame = frame.f_back
    return "\n".join([f"  thread {name!r}", *chain[-_FRAMES:], f"    waits in {what}"])


def describe_chain(coro: object, names: Mapping[int, str]) -> Iterator[str]:
    frames: list[FrameType] = []
    wait: _Wait | None = None
    last: object = None
    for frame, awaited in _await_chain(coro):
        if frame is None:
            last = awaited
            break
        if not _is_engine(frame):
            wait = None
            if not frame.f_code.co_filename.startswith(_OURS):
                yield _at(frame)
        elif wait is None and "self" in frame.f_locals:
            wait = _Wait(frame.f_locals["self"], frame.f_code.co_qualname, list(frames))
        frames.append(frame)
    if wait is not None:
        yield _waits_in(wait, names)
    elif last is not None and (awaited := _future_behind(last)) is not None:
        yield f"waits for {_future_named(awaited, frames, names)}"
    elif frames and _is_engine(frames[-1]):
        yield f"waits in {frames[-1].f_code.co_qualname}"


def _future_behind(awaitable: object) -> asyncio.Future[Any] | None:
    """The future or task that an awaited iterator stands for; only the garbage collector knows it."""
    if isinstance(awaitable, asyncio.Future):
        return awaitable
    return next((one for one in gc.get_referents(awaitable) if isinstance(one, asyncio.Future)), None)


def _future_named(future: asyncio.Future[Any], frames: list[FrameType], names: Mapping[int, str]) -> str:
    """`task 'job'`, the tasks of a `gather`, or the name a caller has for a plain future."""
    if isinstance(future, asyncio.Task):
        return f"task {names.get(id(future), future.get_name())!r}"
    gathered = [one for one in getattr(future, "_children", ()) if not one.done()]
    if gathered:
        return "all of " + ", ".join(_future_named(one, frames, names) for one in gathered[:_NAMED])
    return _named(future, frames)


def _await_chain(coro: Any) -> Iterator[tuple[FrameType | None, object]]:
    """From the outermost coroutine to the innermost awaitable; that one comes with no frame."""
    for _ in range(200):
        if inspect.iscoroutine(coro):
            frame, inner = coro.cr_frame, coro.cr_await
        elif inspect.isgenerator(coro):
            frame, inner = coro.gi_frame, coro.gi_yieldfrom
        elif inspect.isasyncgen(coro):
            frame, inner = coro.ag_frame, coro.ag_await
        elif type(coro).__name__ in _ASYNC_GENERATOR_STEPS:
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


def _is_engine(frame: FrameType) -> bool:
    return any(part in frame.f_code.co_filename for part in _ENGINE)


def _at(frame: FrameType) -> str:
    file = os.path.basename(frame.f_code.co_filename)
    return f"at {frame.f_code.co_qualname} ({file}:{frame.f_lineno})"


def _waits_in(wait: _Wait, names: Mapping[int, str]) -> str:
    line = f"waits in {wait.where} on {_named(wait.resource, wait.callers)}"
    statistics = getattr(wait.resource, "statistics", None)
    facts = statistics() if callable(statistics) else None
    told = [f"{name}={getattr(facts, name)}" for name in _STATISTICS if hasattr(facts, name)]
    if told:
        line += f" [{', '.join(told)}]"
    owner = getattr(facts, "owner", None)
    return line + (f", held by {names.get(owner.id, owner.name)!r}" if owner is not None else "")


def _named(thing: object, frames: list[FrameType]) -> str:
    """`Gate._resume: Event` where a caller's attribute or variable names it, else just its type."""
    kind = type(thing).__name__
    for frame in reversed(frames):
        if _is_engine(frame):
            continue
        owner = frame.f_locals.get("self")
        for name, value in getattr(owner, "__dict__", {}).items():
            if value is thing:
                return f"{type(owner).__name__}.{name}: {kind}"
        for name, value in frame.f_locals.items():
            if value is thing:
                return f"{name}: {kind}"
    return kind
