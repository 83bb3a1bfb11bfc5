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
        self._open: dict[int, tuple[str, object]] = {}
        """By request the item, and the task that has the answer."""
        self._cut: dict[int, str] = {}
        """By request the item of an answer whose task has been cancelled."""

    def delivered(self, record: Answered) -> None:
        """A success has reached its client, which runs now."""
        task = running_task()
        if task is not None and record.item is not None:
            self._open[record.id] = record.item, task
            if is_cancelled(task):
                self.cancelled(task)

    def cancelled(self, task: object) -> None:
        """A task is cancelled, and those that it has started will be."""
        for number, (item, has_it) in list(self._open.items()):
            if _is_of(has_it, task):
                del self._open[number]
                self._cut[number] = item

    def entered(self, event: Event) -> None:
        """Something was logged: an item with an outcome is reported, one that is asked for again was not."""
        if event.kind == "arrived" and self._cut:
            for number in [number for number, item in self._cut.items() if item == event.item]:
                del self._cut[number]
                self._note("unreported", item=event.item, request=number)
        elif event.kind in _OUTCOMES:
            self._open = {number: kept for number, kept in self._open.items() if kept[0] != event.item}
            self._cut = {number: item for number, item in self._cut.items() if item != event.item}

    def __repr__(self) -> str:
        return f"<UnreportedAnswers [{len(self._open)} open, {len(self._cut)} cut]>"


def _is_of(task: object | None, ancestor: object) -> bool:
    while task is not None:
        if task is ancestor:
            return True
        task = parent_of(task)
    return False
