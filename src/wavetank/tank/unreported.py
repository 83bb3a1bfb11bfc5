"""Answers that reached a task which was cancelled before it could report their item.

A program that asks again then, as after a time-out around call and save, has paid twice
and is not wrong: the log says so. An interruption stops the whole program, also the threads, which may
have further answers until they come to their end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, Protocol, final

from ..events import Event
from ..sim.running_tasks import is_cancelled, parent_of

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
        self._interrupted: dict[str, list[int]] = {}
        """By item the requests whose answers the program could not yet keep when it was interrupted."""
        self._in_hand: dict[Hashable, dict[str, list[tuple[int, int]]]] = {}
        """By task and item the requests whose answers it got last, with their instants, without stalls."""
        self._could_be_kept: set[int] = set()
        """The requests whose answers the program has had time to keep."""
        self._stalled = 0
        self._is_ending = False
        """Whether the program was interrupted, and what it has left comes to its end."""

    def delivered(self, record: Answered, task: Hashable | None, now: int) -> None:
        """A success has reached its client, which runs now: a task, or what stands for the main thread."""
        if record.item is None:
            return
        self._open.setdefault(record.item, {})[record.id] = task
        if task is None:
            return
        self._goes_on(record.item, task, now - self._stalled)
        self._in_hand[task].setdefault(record.item, []).append((record.id, now - self._stalled))
        if is_cancelled(task):
            self.cancelled(task)

    def _goes_on(self, item: str, task: Hashable, now: int) -> None:
        """The task has asked for another item since its last answer: it had time to keep that.

        Only time outside stalls lets every task that can run go on until it waits.
        """
        kept: dict[str, list[tuple[int, int]]] = {}
        for other, answers in self._in_hand.get(task, {}).items():
            if other == item:
                kept[other] = answers  # not looked at: a client that polls has one for each time it asked
                continue
            self._could_be_kept.update(number for number, at in answers if at < now)
            if left := [(number, at) for number, at in answers if at >= now]:
                kept[other] = left
        self._in_hand[task] = kept

    def cancelled(self, task: object) -> None:
        """A task is cancelled, and those that it has started will be."""
        for item, answers in self._open.items():
            for number in [number for number, has_it in answers.items() if _is_of(has_it, task)]:
                del answers[number]
                self._cut.setdefault(item, []).append(number)

    def interrupted(self) -> None:
        """The whole program is interrupted; what it had time to keep is its own affair."""
        self._is_ending = True
        self._give_up()

    def _restarted(self) -> None:
        """The program runs again: what else its first session had no time to keep is lost by now."""
        self._is_ending = False
        self._give_up()

    def _give_up(self) -> None:
        for item, answers in self._open.items():
            lost = [number for number in answers if number not in self._could_be_kept]
            self._interrupted.setdefault(item, []).extend(lost)
        self._open.clear()

    def entered(self, event: Event) -> None:
        """Something was logged: an item with an outcome is reported, one that is asked for again was not."""
        item = event.item or ""
        if event.kind == "arrived" and (self._cut or self._interrupted):
            for number in (*self._cut.pop(item, ()), *self._interrupted.pop(item, ())):
                self._note("unreported", item=event.item, request=number)
        elif event.kind == "stalled" and event.since is not None:
            self._stalled += event.at - event.since
        elif event.kind == "restarted":
            self._restarted()
        elif event.kind == "completed":
            for answers in (self._open, self._cut, self._interrupted):
                answers.pop(item, None)
        elif event.kind in _OUTCOMES and not self._is_ending:
            # A program that ends may call off what it will do in its next session.
            self._open.pop(item, None)
            self._cut.pop(item, None)

    def __repr__(self) -> str:
        return f"<UnreportedAnswers [{len(self._open)} open, {len(self._cut)} cut]>"


def _is_of(task: object | None, ancestor: object) -> bool:
    while task is not None:
        if task is ancestor:
            return True
        task = parent_of(task)
    return False
