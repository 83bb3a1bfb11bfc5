"""The threads of a run, and which of them outlive it."""

from __future__ import annotations

import threading
from asyncio import AbstractEventLoop, events
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from .run_threads import RunThread
from .witness import What


class RunMembers:
    """Knows which threads and event loops belong to a run, and which to fixtures that outlive a test."""

    def _begin(self) -> None:
        """Forget all threads: the calling one is the scheduler."""
        self._main = RunThread("main")
        self._main.ident = threading.get_ident()
        self._threads: dict[int, RunThread] = {self._main.ident: self._main}
        self._alive: dict[RunThread, None] = {}
        self._ready: deque[RunThread] = deque()
        self._asleep: dict[RunThread, What] = {}
        self._started = 0
        self.lasting_loops: list[AbstractEventLoop] = []
        """The event loops that outlive a test."""
        self.resting = False
        """Whether the threads of the run have real time for now, as if there were no run."""
        self.paced = False
        """Whether time passes only as fast as real time, as for a fixture that outlives its test."""

    def is_mine(self) -> bool:
        """Whether the calling thread belongs to the run."""
        return not self.resting and threading.get_ident() in self._threads

    def is_virtual_here(self) -> bool:
        """Whether the calling thread belongs to the run and real input or output would hold it up."""
        return not self.paced and self.is_mine()

    def on_main_thread(self) -> bool:
        return threading.get_ident() == self._main.ident

    def here(self) -> RunThread:
        """The calling thread of the run."""
        return self._threads[threading.get_ident()]

    def outlives(self) -> bool:
        """Whether a thread started here and now outlives the test: a fixture of wider scope is its owner."""
        if self.paced or self.here().lasting:
            return True
        return bool(getattr(events._get_running_loop(), "lasting", False))

    @contextmanager
    def lasting(self, outlive: bool) -> Iterator[None]:
        """Let the threads that the calling thread starts outlive the test, if they do not anyway."""
        me = self.here()
        before, me.lasting = me.lasting, me.lasting or outlive
        try:
            yield
        finally:
            me.lasting = before

    def holds_something(self) -> bool:
        """Whether a thread or an event loop that outlives a test is alive."""
        self.lasting_loops = [loop for loop in self.lasting_loops if not loop.is_closed()]
        return bool(self.lasting_loops) or any(thread.lasting for thread in self._alive)
