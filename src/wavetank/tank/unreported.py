"""Answers that reached a task which was cancelled before it could report their item.

A program that asks again then, as after a time-out around call and save, has paid twice
and is not wrong: the log says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, final

from ..events import Event
from ..sim.running_tasks import is_cancelled, parent_of, running_task

_OUTCOMES: Final = ("completed", "failed", "cancelled")


class Answered(Protocol):
    """The record of a request whose answer reached its client."""

    @property
    def id(self) -> int: ...
    @property
    def item(self) -> str | None: ...


@final
class UnreportedAnswers:
    """Follows the answers of one run."""

    def __init__(self, note: Callable[..., object]) -> None:
        self._note = note
        self._open: dict[str, dict[int, object]] = {}
        """By item the requests whose answers it has, and the task that has each."""
        self._cut: dict[str, list[int]] = {}
        """By item the requests whose answers a cancelled task had."""

    def delivered(self, record: Answered) -> None:
        """A success has reached its client, which runs now."""
        task = running_task()
        if task is not None and record.item is not None:
            self._open.setdefault(record.item, {})[record.id] = task
            if is_cancelled(task):
                self.cancelled(task)

    def cancelled(self, task: object) -> None:
        """A task is cancelled, and those that it has started will be."""
        for item, answers in self._open.items():
            for number in [number for number, has_it in answers.items() if _is_of(has_it, task)]:
                del answers[number]
                self._cut.setdefault(item, []).append(number)

    def entered(self, event: Event) -> None:
        """Something was logged: an item with an outcome is reported, one that is asked for again was not."""
        if event.kind == "arrived" and self._cut:
            for number in self._cut.pop(event.item or "", ()):
                self._note("unreported", item=event.item, request=number)
        elif event.kind in _OUTCOMES:
            self._open.pop(event.item or "", None)
            self._cut.pop(event.item or "", None)

    def __repr__(self) -> str:
        return f"<UnreportedAnswers [{len(self._open)} open, {len(self._cut)} cut]>"


def _is_of(task: object | None, ancestor: object) -> bool:
    while task is not None:
        if task is ancestor:
            return True
        task = parent_of(task)
    return False
