"""Say where a task is blocked: its await chain, what it waits for by name, and who holds that."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from types import FrameType
from typing import Any, Final

from ..text import error_text
from .await_chain import Chain, Suspended, chain_of, innermost, is_engine, places
from .lock_holders import held_by
from .origin import kind_of, name_of_file, place_of_error, place_of_frame
from .partial_deadlocks import out_of_reach
from .primitive_facts import details_of, errors_of, fill_of, gathered, statistics_of
from .quiet_stretches import Waiting
from .refused_io import LEAVE_OUT

_TEST_RUNNER: Final = tuple(f"{os.sep}{name}{os.sep}" for name in ("_pytest", "pluggy"))
_POOLS: Final = tuple(
    os.path.join("", *path)
    for path in (("concurrent", "futures", "thread.py"), ("anyio", "_backends", "_asyncio.py"))
)
_SWITCHING: Final = f"{os.sep}patches{os.sep}threads.py"
"""Its functions stand around methods of queues."""

_CALLS_MAIN: Final = f"{os.sep}sim{os.sep}ended.py"
"""What stands around a plain `main`: its callers do not belong to the run."""

LOCK: Final = "a lock"
"""What a thread waits for that nobody is known to hold."""

_PRIMITIVES: Final = (
    *(f"{os.sep}{name}.py" for name in ("threading", "queue")),
    os.path.join("concurrent", "futures", "_base.py"),
)
"""Files of what is built on locks."""

_QUEUE: Final = f"{os.sep}queue.py"
_FRAMES: Final = 12
_NAMED: Final = 5

OUT_OF_REACH: Final = "only the tasks that wait for it still refer to it: nothing can wake them"


NEVER: Final = "no task that still runs can wake it"


def describe_tasks(tasks: Sequence[Suspended], stuck: Sequence[Suspended] = ()) -> tuple[str, ...]:
    """A paragraph on each task: its chain, what it waits for, who holds that, and whether it is `stuck`.

    Tasks of which the same is to be said share a paragraph.
    """
    prospects = {id(task.task): NEVER for task in stuck}
    prospects |= {id(task.task): OUT_OF_REACH for task in out_of_reach(tasks)}
    return _grouped(
        "task", [(task.name, _lines(task, tasks, prospects.get(id(task.task)))) for task in tasks]
    )


def _lines(task: Suspended, tasks: Sequence[Suspended], prospect: str | None) -> tuple[str, ...]:
    chain = chain_of(task.coro)
    cancelled = isinstance(task.task, asyncio.Task) and task.task.cancelling()
    went_on = "it was cancelled, and has not ended since" if cancelled else None
    lines = (*places(chain.callers), _waits(chain, tasks), *_errors_kept_back(chain), went_on, prospect)
    return tuple(line for line in lines if line)


def _errors_kept_back(chain: Chain) -> Iterator[str]:
    """The errors of tasks of a group whose end is waited for: nothing sees them before that."""
    groups = {id(group): group for frame in chain.engine if (group := frame.f_locals.get("self")) is not None}
    errors = {id(error): error for group in groups.values() for error in errors_of(group)[:_NAMED]}
    for error in errors.values():
        place = place_of_error(error)
        where = "" if place is None else f" at {place[0]}:{place[1]}"
        yield (
            f"a task of this group has failed{where} with {error_text(error)}; "
            "nothing sees that until the others end"
        )


def _grouped(kind: str, described: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[str, ...]:
    found: dict[tuple[str, ...], list[str]] = {}
    for name, lines in described:
        found.setdefault(lines, []).append(name)
    return tuple(
        "\n".join((f"  {_titled(kind, names)}", *(f"    {line}" for line in lines)))
        for lines, names in found.items()
    )


def _titled(kind: str, names: Sequence[str]) -> str:
    """`task 'a'`, or `9 tasks 'a', 'b', …`."""
    if len(names) == 1:
        return f"{kind} {names[0]!r}"
    more = ", …" if len(names) > _NAMED else ""
    return f"{len(names)} {kind}s {', '.join(map(repr, names[:_NAMED]))}{more}"


def describe_threads(waiting: Iterable[tuple[str, FrameType | None, str]]) -> tuple[str, ...]:
    """A paragraph on each blocked thread, given its name, its frame and what it waits for.

    Threads of a pool that have nothing to do are left out.
    """
    described = []
    for name, frame, what in waiting:
        frames = _outermost_first(frame)
        if not _is_idle(frames):
            described.append((name, (*places(frames)[-_FRAMES:], f"waits in {_blocking(frame, what)}")))
    return _grouped("thread", described)


def waiting_tasks(tasks: Sequence[Suspended]) -> tuple[Waiting, ...]:
    """Who of the tasks waits where and for what; those at one place for one thing together.

    Tasks that are nowhere in the program itself, such as a test runner's, are left out.
    """
    found: dict[tuple[int, int, int], tuple[list[str], Any, FrameType]] = {}
    for task in tasks:
        chain = chain_of(task.coro, whole=False)
        frame = innermost(chain.callers)
        if frame is not None:
            # An instruction stands for its line, which takes long to work out.
            key = id(frame.f_code), frame.f_lasti, id(chain.resource)
            found.setdefault(key, ([], task.coro, frame))[0].append(task.name)
    return tuple(
        Waiting(
            tuple(names),
            _waits(chain_of(coro), tasks),
            (name_of_file(frame.f_code.co_filename), frame.f_lineno),
        )
        for names, coro, frame in found.values()
    )


def waiting_threads(waiting: Iterable[tuple[str, FrameType | None, str]]) -> tuple[Waiting, ...]:
    """Who of the threads waits where and for what, given as to `describe_threads`."""
    return tuple(
        Waiting((name,), f"waits in {_blocking(frame, what)}", place_of_frame(frame))
        for name, frame, what in waiting
        if not _is_idle(_outermost_first(frame))
    )


def _blocking(frame: FrameType | None, what: str) -> str:
    """The method of the primitive that a thread has called, as `Queue.get`, where a lock says less."""
    found = what
    while frame is not None and what == LOCK:
        name = frame.f_code.co_qualname
        if kind_of(frame) in ("own", "installed", "shown") or name.startswith("Thread."):
            break
        if frame.f_code.co_filename.endswith(_PRIMITIVES):
            found = name.partition(".<locals>")[0]
        frame = frame.f_back
    return found


def _outermost_first(frame: FrameType | None) -> list[FrameType]:
    """The frames of a thread in the run, but for the test runner's."""
    found: list[FrameType] = []
    while frame is not None and not frame.f_code.co_filename.endswith(_CALLS_MAIN):
        if not any(part in frame.f_code.co_filename for part in _TEST_RUNNER):
            found.append(frame)
        frame = frame.f_back
    return found[::-1]


def _is_idle(frames: Sequence[FrameType]) -> bool:
    """Whether a thread of a pool waits for work."""
    files = (frame.f_code.co_filename for frame in frames)
    called = [file for file in files if not file.endswith(_SWITCHING)]
    return any(file.endswith(_POOLS) and inner.endswith(_QUEUE) for file, inner in pairwise(called))


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
    details = details_of(facts)
    if details:
        parts.append(f"[{', '.join(details)}]")
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
        if is_engine(frame) or kind_of(frame) == "hidden":
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


def stuck_thread(name: str, ident: int, seconds: float) -> str:
    """What to say of a thread of the run that kept the baton for so many seconds of real time."""
    frame = sys._current_frames().get(ident)
    return (
        f"a thread of the run neither blocked nor ended in {seconds:g} s of real time:\n"
        f"{''.join(describe_threads([(name, frame, 'the operating system')]))}\n"
        "If it waits for a lock that was made before the test, make the lock inside the test; if it does "
        f"real work, {LEAVE_OUT}"
    )
