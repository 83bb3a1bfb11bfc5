"""How tasks and threads of a run came to their end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, final

from .unseen_errors import Failures

MOST: Final = 2_000
"""So many ends are kept: a picture of more tasks is not looked at."""

Ending = Literal["returned", "raised", "cancelled"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnd:
    """A task or thread that ended at the instant `at`; `error` is the type of what it raised."""

    task: str
    how: Ending
    at: int
    error: str | None = None


@final
class TaskEnds:
    """The ends so far; those after the run was stopped are unwinding and do not count."""

    def __init__(self, now: Callable[[], int], failures: Failures) -> None:
        self._now = now
        self._failures = failures
        self.all: list[TaskEnd] = []

    def note(self, task: str, error: BaseException | None = None, *, cancelled: bool = False) -> None:
        """A task or thread ends now, by returning unless it raised or was cancelled."""
        if len(self.all) >= MOST or self._failures.closed:
            return
        how: Ending = "cancelled" if cancelled else "returned" if error is None else "raised"
        kind = None if error is None or cancelled else type(error).__name__
        self.all.append(TaskEnd(task=task, how=how, at=self._now(), error=kind))
