"""What stands in for parts of trio's run loop in virtual time: its clock, its selector, its wake-up pipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, final

import trio
from trio.abc import Clock

from ..clock import SECOND
from .errors import RealInputOutput
from .timeline import Timeline


@final
class VirtualClock(Clock):
    """trio's view of the timeline; it never says how long to sleep, the driver decides that."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline

    def start_clock(self) -> None:
        """The timeline runs from the start of the run."""

    def current_time(self) -> float:
        return self._timeline.now() / SECOND

    def deadline_to_sleep_time(self, deadline: float) -> float:
        return deadline - self.current_time()


@final
class NoInputOutput:
    """Stands in for the selector: there is nothing to wait for but time."""

    def __init__(self, wait: Callable[[float], tuple[str, ...]]) -> None:
        self.steps = 0
        self._wait = wait

    def get_events(self, timeout: float) -> tuple[str, ...]:
        return self._wait(timeout)

    def process_events(self, events: object) -> None:
        """There are none."""

    def close(self) -> None:
        """Nothing is open."""

    def force_wakeup(self) -> None:
        """Nobody sleeps."""

    def notify_closing(self, fd: object) -> None:
        """Nobody waits for it."""

    def statistics(self) -> None:
        return None

    def __getattr__(self, name: str) -> NoReturn:
        raise RealInputOutput(
            f"trio.lowlevel.{name}() wants real input or output, and virtual time cannot wait for that: "
            "let the client meet the fake through an HTTP library that wavetank patches, or give the "
            'test real time with @pytest.mark.llm_clock("real")'
        )


@final
class Wakeup:
    """Stands in for the socket pair that wakes the entry queue, from any thread of the run."""

    def __init__(self, soon: Callable[[Callable[[], object]], object]) -> None:
        self._soon = soon
        self._called = False
        self._waiting: trio.lowlevel.Task | None = None

    def wakeup_thread_and_signal_safe(self) -> None:
        self._called = True
        if self._waiting is not None:
            self._soon(self._wake)

    def _wake(self) -> None:
        if self._waiting is not None:  # else it was woken, or cancelled, in the meantime
            task, self._waiting = self._waiting, None
            trio.lowlevel.reschedule(task)

    async def wait_woken(self) -> None:
        if self._called:
            await trio.lowlevel.checkpoint()
        else:
            self._waiting = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._aborted)
        self._called = False

    def _aborted(self, _: object) -> trio.lowlevel.Abort:
        self._waiting = None
        return trio.lowlevel.Abort.SUCCEEDED

    def wakeup_on_signals(self) -> None:
        """A signal ends `let_time_pass` by its exception."""

    def drain(self) -> None:
        """Nothing is queued."""

    def close(self) -> None:
        """Nothing is open."""
