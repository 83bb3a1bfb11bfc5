"""What can run when the order is chosen: each task by itself, all plain callbacks as one queue.

A task has at most one ready handle. Plain callbacks keep the order in which they were posted,
which asyncio documents. anyio promises that a checkpoint in a cancelled scope raises, and keeps
that on asyncio by a callback that cancels the scope's tasks again and again: what was posted
after such a callback does not go before it.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, final

from .choices import CALLBACKS, Chooser

_WAKE_UP: Final = "task_wakeup"
"""The name of the callback by which a future wakes a task; a task's step has no name."""

DELIVERY: Final = "_deliver_cancellation"
"""The name of the callback by which a cancel scope of anyio cancels its tasks."""


@final
class ReadyQueue:
    """The handles that can run, in the order they were posted; who they belong to is `who`."""

    __slots__ = (
        "_deliveries",
        "_foreign",
        "_handles",
        "_numbered",
        "_plain",
        "_posted",
        "_seqs",
        "_size",
        "spinner",
        "who",
    )

    def __init__(self, numbered: Any) -> None:
        self._numbered = numbered
        """The class of tasks that know their `number`."""
        self.who: list[int] = []
        """The entities that can run, in FIFO order."""
        self._seqs: list[int] = []
        self._handles: list[events.Handle | None] = []
        self._plain: deque[tuple[int, events.Handle]] = deque()
        self._deliveries: deque[int] = deque()
        self._posted = 0
        self._size = 0
        self.spinner: events.Handle | None = None
        """A plain callback that has just posted itself again."""
        self._foreign: dict[asyncio.Task[Any], int] = {}

    def __len__(self) -> int:
        return self._size

    def admit(self, posted: deque[events.Handle], ran: events.Handle | None = None) -> None:
        """Take in what was posted, in order; `ran` is the handle that ran meanwhile, if any.

        A plain callback that posted itself again does not go before somebody else has run, unless
        it is first in FIFO order: anyio's delivery of a cancellation does so until its tasks are gone.
        """
        self._size += len(posted)
        numbered, seq = self._numbered, self._posted
        seqs, who, handles = self._seqs, self.who, self._handles
        while posted:
            handle = posted.popleft()
            seq += 1
            callback = handle._callback  # type: ignore[attr-defined]
            owner: Any = getattr(callback, "__self__", None)
            if type(owner) is numbered and getattr(callback, "__name__", _WAKE_UP) == _WAKE_UP:
                seqs.append(seq)
                who.append(owner.number)
                handles.append(handle)
            elif isinstance(owner, asyncio.Task) and getattr(callback, "__name__", _WAKE_UP) == _WAKE_UP:
                self._append(seq, self._number(owner), handle)
            else:
                if not self._plain:
                    self._append(seq, CALLBACKS, None)
                self._plain.append((seq, handle))
                if getattr(callback, "__name__", "") == DELIVERY:
                    self._deliveries.append(seq)
                if ran is not None and callback == ran._callback:  # type: ignore[attr-defined]
                    self.spinner = handle
        self._posted = seq

    def _append(self, seq: int, number: int, handle: events.Handle | None) -> None:
        self._seqs.append(seq)
        self.who.append(number)
        self._handles.append(handle)

    def _number(self, task: asyncio.Task[Any]) -> int:
        """A task of somebody's own class is numbered when it first runs, far from our own."""
        return self._foreign.setdefault(task, 1_000_000 + len(self._foreign))

    @property
    def newest(self) -> int:
        """The number of what was posted last."""
        return self._posted

    def choose(self, chooser: Chooser | None, posted_by: int | None) -> events.Handle:
        """Take out the handle that goes next; only what was posted by `posted_by` unless that is `None`."""
        who: Sequence[int] = self.who
        if posted_by is not None or self._deliveries:
            who = self._admissible(posted_by)
        n = len(who)
        at = 0
        if n > 1 and chooser is not None:
            at = chooser.choose("run", n, who) if self.spinner is None else self._choose_but(chooser, who)
        self._size -= 1
        del self._seqs[at], self.who[at]
        handle = self._handles.pop(at)
        return self._next_callback() if handle is None else handle

    def _admissible(self, posted_by: int | None) -> Sequence[int]:
        """Who may go next: those that were posted by then, and before the next delivery."""
        if self._deliveries and (posted_by is None or self._deliveries[0] < posted_by):
            posted_by = self._deliveries[0]
        if posted_by is None or self._seqs[-1] <= posted_by:
            return self.who
        return self.who[: bisect_left(self._seqs, posted_by + 1)]

    def _choose_but(self, chooser: Chooser, who: Sequence[int]) -> int:
        """Choose, but not a plain callback that has just posted itself unless it is first in FIFO order."""
        place = who.index(CALLBACKS) if CALLBACKS in who and self._plain[0][1] is self.spinner else 0
        if not place:
            return chooser.choose("run", len(who), who)
        rest = [*who[:place], *who[place + 1 :]]
        at = chooser.choose("run", len(rest), rest) if len(rest) > 1 else 0
        return at + (at >= place)

    def _next_callback(self) -> events.Handle:
        """Take out the first plain callback; the next one stands in the queue where it was posted."""
        seq, handle = self._plain.popleft()
        if self._deliveries and self._deliveries[0] == seq:
            self._deliveries.popleft()
        if self._plain:
            seq = self._plain[0][0]
            place = bisect_left(self._seqs, seq)
            self._seqs.insert(place, seq)
            self.who.insert(place, CALLBACKS)
            self._handles.insert(place, None)
        return handle

    def release(self) -> list[events.Handle]:
        """Take out everything, in the order it was posted."""
        pairs = list(self._plain)
        pairs += [(seq, handle) for seq, handle in zip(self._seqs, self._handles, strict=True) if handle]
        self._seqs.clear()
        self.who.clear()
        self._handles.clear()
        self._plain.clear()
        self._deliveries.clear()
        self._size = 0
        return [handle for _, handle in sorted(pairs, key=lambda pair: pair[0])]

    def __repr__(self) -> str:
        return f"<ReadyQueue {self.who}>"
