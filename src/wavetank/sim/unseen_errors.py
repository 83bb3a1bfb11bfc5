"""Errors that nothing in the program received: of tasks, of the tasks of a `gather`, and of threads.

Only texts are kept of an error: a reference to it would keep alive what its traceback leads to.
"""

from __future__ import annotations

import asyncio
import weakref
from concurrent.futures import Future
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, final

from ..text import error_text
from .origin import Place, place_of_error

NO_CONTEXT: Final = Context()
_MOST: Final = 1_000
"""So many failures are kept; a program that fails more often has more to say than a report can hold."""

_KEPT: Final = "_wavetank_failure"


def ended(task: asyncio.Task[Any]) -> None:
    """Mark of a task's end among its callbacks: a loop in virtual time takes note instead of calling it."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """An error at the instant `at` that nothing received, of a task or thread, and where it was raised."""

    task: str
    error: str
    at: int
    place: Place | None


@final
class _Failure:
    """One task or thread that ended with an error, and how to learn whether anything received it."""

    __slots__ = ("__weakref__", "error", "seen", "witness")

    def __init__(self, error: Unseen, witness: Any = None) -> None:
        self.error = error
        self.seen: bool | None = None
        """Whether anything received it, once that is certain."""
        self.witness: weakref.ref[asyncio.Future[Any]] | None = witness and weakref.ref(witness)
        """What hands the error on: the task, or the `gather` that it belongs to."""

    def is_unseen(self) -> bool:
        if self.seen is not None or self.witness is None:
            return not self.seen
        witness = self.witness()
        return witness is not None and getattr(witness, "_log_traceback", False)


@final
class Failures:
    """All failures of a run so far."""

    def __init__(self) -> None:
        self._all: list[_Failure] = []
        self._at_the_end: tuple[Unseen, ...] | None = None

    def close(self) -> None:
        """The run is stopped: what fails while it unwinds does not count, nor who hears of it then."""
        self._at_the_end = self.unseen()

    @property
    def closed(self) -> bool:
        """Whether the run was stopped."""
        return self._at_the_end is not None

    def task_ended(self, task: asyncio.Task[Any], name: str, at: int) -> None:
        """A task came to its end; with an error, somebody should hear of it."""
        error: BaseException | None = getattr(task, "_exception", None)
        if error is None:
            return
        outer, returns_errors = _outer_of(task)
        failure = self._note(name, error, at, witness=task if outer is None else outer)
        if outer is None or failure is None:
            return
        if returns_errors:
            failure.seen = True
        elif outer.done() or hasattr(outer, _KEPT):
            failure.seen = False  # only the first error of a gather is handed on
        else:
            setattr(outer, _KEPT, failure)

    def thread_failed(
        self, name: str, error: BaseException, at: int, future: Future[Any] | None = None
    ) -> None:
        """A thread ended with an error, or a call in a pool, whose `future` may be asked for it."""
        failure = self._note(name, error, at)
        if failure is not None and future is not None:
            setattr(future, _KEPT, failure)

    def callback_failed(self, name: str, error: BaseException, at: int) -> None:
        """A plain callback of the loop raised an error, which asyncio only logs."""
        self._note(name, error, at)

    def never_retrieved(self, context: dict[str, Any], at: int) -> None:
        """asyncio is about to log an error: of a future that was thrown away before anything asked it."""
        future, error = context.get("future") or context.get("task"), context.get("exception")
        if future is None or error is None or not asyncio.isfuture(future):
            return
        for failure in self._all:
            if failure.witness is not None and failure.witness() is future:
                failure.seen = False
                return
        if not isinstance(future, asyncio.Task) and not hasattr(future, "_children"):
            self._note("a future", error, at)

    def unseen(self) -> tuple[Unseen, ...]:
        """Those that nothing has received by now, in the order in which they happened."""
        if self._at_the_end is not None:
            return self._at_the_end
        return tuple(failure.error for failure in self._all if failure.is_unseen())

    def _note(self, name: str, error: BaseException, at: int, witness: Any = None) -> _Failure | None:
        if len(self._all) >= _MOST or isinstance(error, SystemExit | KeyboardInterrupt):
            return None
        place = place_of_error(error)
        failure = _Failure(Unseen(task=name, error=error_text(error), at=at, place=place), witness)
        self._all.append(failure)
        return failure


def received(future: Future[Any]) -> None:
    """Somebody asks the future of a call in a pool for its result or its error."""
    failure = getattr(future, _KEPT, None)
    if failure is not None:
        failure.seen = True


_HAND_ON: Final = ("gather.<locals>._done_callback", "shield.<locals>._inner_done_callback")
"""What asyncio hangs on a task to hand its outcome on; it drops the error once the outer future is done."""


def _outer_of(task: asyncio.Task[Any]) -> tuple[Any, bool]:
    """The future of the `gather` or `shield` around a task, and whether it makes results of errors."""
    for callback, *_ in getattr(task, "_callbacks", None) or ():
        if getattr(callback, "__qualname__", "") in _HAND_ON:
            names = callback.__code__.co_freevars
            cells = {
                name: cell.cell_contents
                for name, cell in zip(names, callback.__closure__ or (), strict=True)
                if name in ("outer", "return_exceptions")
            }
            return cells.get("outer"), bool(cells.get("return_exceptions"))
    return None, False
