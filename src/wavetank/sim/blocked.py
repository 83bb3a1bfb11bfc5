"""Say where a task is blocked: its await chain, what it waits for by name, and who holds that."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, Final

from .chain import Chain, Suspended, at, chain_of, is_engine, is_ours, places
from .holders import held_by
from .libraries import fill_of, gathered, statistics_of, told_of
from .refused import LEAVE_OUT
from .stuck import out_of_reach
from .turns import RunThread

_STANDARD: Final = os.path.dirname(os.__file__) + os.sep
_TEST_RUNNER: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("_pytest", "pluggy"))
_FRAMES: Final = 12
_NAMED: Final = 5

OUT_OF_REACH: Final = "nobody but those who wait for it can reach it any more: they wait for ever"


NEVER: Final = "nobody who still runs can let it go on"


def describe_tasks(tasks: Sequence[Suspended], stuck: Sequence[Suspended] = ()) -> tuple[str, ...]:
    """A paragraph on each task: its chain, what it waits for, who holds that, and whether it is `stuck`."""
    prospects = {id(task.task): NEVER for task in stuck}
    prospects |= {id(task.task): OUT_OF_REACH for task in out_of_reach(tasks)}
    return tuple(_paragraph(task, tasks, prospects.get(id(task.task))) for task in tasks)


def _paragraph(task: Suspended, tasks: Sequence[Suspended], prospect: str | None) -> str:
    chain = chain_of(task.coro)
    told = [*places(chain.callers), _waits(chain, tasks), prospect or ""]
    lines = [line for line in told if line]
    return "\n".join((f"  task {task.name!r}", *(f"    {line}" for line in lines)))


def describe_thread(name: str, frame: FrameType | None, what: str) -> str:
    """A paragraph on one blocked thread: the program's frames, outermost first, and what it waits for."""
    chain: list[str] = []
    while frame is not None:
        file = frame.f_code.co_filename
        hidden = is_ours(file) or file.startswith((_STANDARD, "<frozen "))
        if not hidden and not any(part in file for part in _TEST_RUNNER):
            chain.insert(0, f"    {at(frame)}")
        frame = frame.f_back
    return "\n".join([f"  thread {name!r}", *chain[-_FRAMES:], f"    waits in {what}"])


def _waits(chain: Chain, tasks: Sequence[Suspended]) -> str:
    inner = chain.inner
    if inner is not None:
        return (
            f"waits in {type(chain.resource).__name__}.{inner.f_code.co_name} on {_described(chain, tasks)}"
        )
    future = chain.future()
    if future is not None and not _is_plain_function(chain, future):
        return f"waits for {_future_named(future, chain.callers, tasks)}"
    return f"waits in {chain.engine[0].f_code.co_qualname}" if chain.engine else ""


def _is_plain_function(chain: Chain, future: asyncio.Future[Any]) -> bool:
    """Whether a function of the library waits on a future of its own, as `asyncio.sleep` does."""
    return bool(chain.engine) and not isinstance(future, asyncio.Task) and not gathered(future)


def _described(chain: Chain, tasks: Sequence[Suspended]) -> str:
    resource = chain.resource
    facts = statistics_of(resource)
    parts = [_named(resource, chain.callers), fill_of(resource, facts)]
    told = told_of(facts)
    if told:
        parts.append(f"[{', '.join(told)}]")
    line = " ".join(part for part in parts if part)
    holders = held_by(resource, tasks)
    return f"{line}, {holders}" if holders else line


def _future_named(
    future: asyncio.Future[Any], frames: Sequence[FrameType], tasks: Sequence[Suspended]
) -> str:
    """`task 'job'`, the tasks of a `gather`, or the name a caller has for a plain future."""
    if isinstance(future, asyncio.Task):
        name = next((task.name for task in tasks if task.task is future), future.get_name())
        return f"task {name!r}"
    waited = gathered(future)
    if waited:
        more = ", …" if len(waited) > _NAMED else ""
        return "all of " + ", ".join(_future_named(one, frames, tasks) for one in waited[:_NAMED]) + more
    return _named(future, frames)


def _named(thing: object, frames: Sequence[FrameType]) -> str:
    """`Gate._resume: Event` where a caller's attribute or variable names it, else just its type."""
    kind = "Future" if isinstance(thing, asyncio.Future) else type(thing).__name__
    for frame in reversed(frames):
        if is_engine(frame):
            continue
        owner = frame.f_locals.get("self")
        for name, value in _attributes(owner):
            if value is thing:
                return f"{type(owner).__name__}.{name}: {kind}"
        for name, value in frame.f_locals.items():
            if value is thing:
                return f"{name}: {kind}"
    return kind


def _attributes(owner: object) -> Iterator[tuple[str, object]]:
    yield from getattr(owner, "__dict__", {}).items()
    for kind in type(owner).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name != "__dict__":
                yield name, getattr(owner, name, None)


def blocked_thread(thread: RunThread, what: str) -> str:
    """A paragraph on a thread of the run that waits for `what`."""
    return describe_thread(thread.name, sys._current_frames().get(thread.ident), what)


def stuck_thread(thread: RunThread, patience: float) -> str:
    """What to say of a thread that kept the baton for `patience` real seconds."""
    return (
        f"a thread of the run neither blocked nor ended in {patience:g} s of real time:\n"
        f"{blocked_thread(thread, 'the operating system')}\n"
        "If it waits for a lock that was made before the test, make the lock inside the test; if it does "
        f"real work, {LEAVE_OUT}"
    )
