"""Looks at the program between its steps: who took the last one, and where it left off."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, final

from .await_chain import await_chain
from .origin import Origin, Place, name_of_file, origin_of, place_of_frame
from .run_threads import RunThread

Look = Callable[[Origin], object]


@final
class StepWatch:
    """Calls `look` after every step with who took it: a task, a callback, or a thread until it gave way.

    The place is where the step ended; of a task or thread that is over, where its last step began.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._began: Place | None = None

    def before_task(self, coro: Any) -> None:
        """A task is about to take a step."""
        self._began = place_of_task(coro)

    def after_task(self, name: str, coro: Any) -> None:
        """A task has taken a step."""
        self._ended(name, place_of_task(coro))

    def after_callback(self, name: str, callback: Any) -> None:
        """A plain callback has run."""
        code = getattr(callback, "__code__", None)
        self._began = None if code is None else (name_of_file(code.co_filename), code.co_firstlineno)
        self._ended(name, None)

    def turn_of(self, thread: RunThread) -> Callable[[], None]:
        """A thread is about to go on; what is to be called when it has given way to others, or is over."""
        began = _place_of_thread(thread.ident) or thread.begins

        def over() -> None:
            self._began = began
            self._ended(thread.name, _place_of_thread(thread.ident))

        return over

    def blocks(self, name: str) -> None:
        """The calling thread, the run's first, is about to block."""
        self._ended(name, place_of_frame(sys._getframe(1)))

    def _ended(self, name: str, place: Place | None) -> None:
        found, self._began = place or self._began, None
        self._look(origin_of(name, found))

    def __repr__(self) -> str:
        return f"<StepWatch {self._look!r}>"


def place_of_task(coro: Any) -> Place | None:
    """Where in the program a suspended task is: its innermost frame there."""
    frames = [frame for frame, _ in await_chain(coro) if frame is not None]
    for fallback in (False, True):
        for frame in reversed(frames):
            if (place := place_of_frame(frame, fallback=fallback)) is not None:
                return place
    return None


def _place_of_thread(ident: int) -> Place | None:
    frame = sys._current_frames().get(ident)
    return None if frame is None else place_of_frame(frame)
