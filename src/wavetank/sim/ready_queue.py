"""What can run when the order is chosen: each task by itself, all plain callbacks as one queue.

A task has at most one ready handle. Plain callbacks keep the order in which they were posted,
which asyncio documents. anyio promises that a checkpoint in a cancelled scope raises, and keeps
that on asyncio by a callback that cancels the scope's tasks again and again: what was posted
after such a callback does not go before it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from operator import attrgetter
from typing import Any, Final, final

from .asyncio_handles import CountedTask
from .choices import CALLBACKS, Chooser

_WAKE_UP: Final = "task_wakeup"
"""The name of the callback by which a future wakes a task; a task's step has no name."""

_place_in_line = attrgetter("seq")

DELIVERY: Final = "_deliver_cancellation"
"""The name of the callback by which a cancel scope of anyio cancels its tasks."""


@final
class ReadyQueue:
    """The handles that can run, in the order they were posted; who they belong to is `who`.

    The first plain callback stands for all of them. It has the number `CALLBACKS`.
    """

    __slots__ = ("_deliveries", "_foreign", "_handles", "_plain", "_posted", "_spinner", "ran", "who")

    def __init__(self) -> None:
        self.who: list[int] = []
        """The entities that can run, in FIFO order."""
        self._handles: list[Any] = []
        self._plain: deque[Any] = deque()
        self._deliveries: deque[int] = deque()
        self._posted = 0
        self.ran: object = None
        """What the plain callback calls that was taken out last, while it runs."""
        self._spinner: object = None
        """A plain callback that has just posted itself again."""
        self._foreign: dict[asyncio.Task[Any], int] = {}

    def __iter__(self) -> Iterator[Any]:
        yield from self._plain
        yield from (handle for handle in self._handles if handle.number)

    def __len__(self) -> int:
        return len(self._handles) + max(len(self._plain) - 1, 0)

    def post(self, handle: Any) -> None:
        """Take in a handle that can run.

        A plain callback that posts itself again does not go before somebody else has run, unless
        it is first in FIFO order: anyio's delivery of a cancellation does so until its tasks are gone.
        """
        self._posted = handle.seq = self._posted + 1
        callback = handle._callback
        owner: Any = getattr(callback, "__self__", None)
        if type(owner) is CountedTask and getattr(callback, "__name__", _WAKE_UP) == _WAKE_UP:
            handle.number = owner.number
        elif isinstance(owner, asyncio.Task) and getattr(callback, "__name__", _WAKE_UP) == _WAKE_UP:
            handle.number = self._number(owner)
        elif self._post_plain(handle, callback):
            return
        self.who.append(handle.number)
        self._handles.append(handle)

    def _post_plain(self, handle: Any, callback: Any) -> bool:
        """Put it behind the other plain callbacks; whether there are any."""
        handle.number = CALLBACKS
        self._plain.append(handle)
        if getattr(callback, "__name__", "") == DELIVERY:
            self._deliveries.append(handle.seq)
        if self.ran is not None and callback == self.ran:
            self._spinner = handle
        return len(self._plain) > 1

    def _number(self, task: asyncio.Task[Any]) -> int:
        """A task of somebody's own class is numbered when it first runs, far from our own."""
        return self._foreign.setdefault(task, 1_000_000 + len(self._foreign))

    @property
    def newest(self) -> int:
        """The number of what was posted last."""
        return self._posted

    def choose(self, chooser: Chooser | None, posted_by: int | None) -> Any:
        """Take out the handle that goes next; only what was posted by `posted_by` unless that is `None`."""
        who, at = self.who, 0
        if len(who) > 1 and chooser is not None:
            if posted_by is not None or self._deliveries:
                who = self._admissible(posted_by)
            if self._spinner is not None:
                at = self._choose_but(chooser, who)
            elif len(who) > 1:
                at = chooser.choose("run", len(who), who)
        self._spinner = self.ran = None
        handle = self._handles.pop(at)
        del self.who[at]
        if not handle.number:
            self._follow(handle)
        return handle

    def _admissible(self, posted_by: int | None) -> list[int]:
        """Who may go next: those that were posted by then, and before the next delivery."""
        if self._deliveries and (posted_by is None or self._deliveries[0] < posted_by):
            posted_by = self._deliveries[0]
        if posted_by is None or self._handles[-1].seq <= posted_by:
            return self.who
        return self.who[: bisect_right(self._handles, posted_by, key=_place_in_line)]

    def _choose_but(self, chooser: Chooser, who: list[int]) -> int:
        """Choose, but not a plain callback that has just posted itself unless it is first in FIFO order."""
        place = who.index(CALLBACKS) if CALLBACKS in who and self._plain[0] is self._spinner else 0
        if not place:
            return chooser.choose("run", len(who), who) if len(who) > 1 else 0
        rest = [*who[:place], *who[place + 1 :]]
        at = chooser.choose("run", len(rest), rest) if len(rest) > 1 else 0
        return at + (at >= place)

    def _follow(self, handle: Any) -> None:
        """The first plain callback was taken out; the next one stands in the queue where it was posted."""
        self._plain.popleft()
        self.ran = handle._callback
        if self._deliveries and self._deliveries[0] == handle.seq:
            self._deliveries.popleft()
        if self._plain:
            following = self._plain[0]
            place = bisect_right(self._handles, following.seq, key=_place_in_line)
            self._handles.insert(place, following)
            self.who.insert(place, CALLBACKS)

    def release(self) -> list[Any]:
        """Take out everything, in the order it was posted."""
        released = [*self]
        self.who.clear()
        self._handles.clear()
        self._plain.clear()
        self._deliveries.clear()
        self._spinner = self.ran = None
        return sorted(released, key=_place_in_line)

    def __repr__(self) -> str:
        return f"<ReadyQueue {self.who}>"
