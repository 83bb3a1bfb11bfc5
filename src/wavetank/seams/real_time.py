"""The machine's own time at the seams: a clock with a thread, and events that this thread may set."""

from __future__ import annotations

import heapq
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, final

import anyio
import anyio.lowlevel

from ..clock import Timer, real_now, to_seconds
from .waiting import AsyncEvent, BlockingEvent

logger = logging.getLogger(__name__)


@final
class RealClock:
    """The machine's clock from the start of a run; callbacks come on a thread of its own.

    It implements `Clock`. Errors a callback raises are logged.
    """

    def __init__(self) -> None:
        self._start = real_now()
        self._due: list[tuple[int, int, _RealTimer]] = []
        self._count = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def now(self) -> int:
        return real_now() - self._start

    def call_at(self, when: int, callback: Callable[[], object]) -> Timer:
        timer = _RealTimer(callback)
        with self._changed:
            self._count += 1
            heapq.heappush(self._due, (when, self._count, timer))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wavetank-clock", daemon=True)
                self._thread.start()
            self._changed.notify()
        return timer

    def close(self) -> None:
        """End the thread; what is still due is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (timer := self._next()) is not None:
            try:
                timer.fire()
            except Exception:
                logger.exception("a timer of the clock failed")

    def _next(self) -> _RealTimer | None:
        """Wait for the next timer to come due; `None` when the clock is closed."""
        with self._changed:
            while not self._closed:
                now = self.now()
                if self._due and self._due[0][0] <= now:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(to_seconds(self._due[0][0] - now) if self._due else None)
        return None


class _RealTimer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self._callback = None

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


@final
class RealWaits:
    """Events that the thread of a real clock may set."""

    def event(self) -> AsyncEvent:
        return _EventFromAnywhere()

    def blocking_event(self) -> BlockingEvent:
        return threading.Event()

    def is_virtual_here(self) -> bool:
        return False


@final
class _EventFromAnywhere:
    """An event of the running event loop that any thread may set."""

    def __init__(self) -> None:
        self._event = anyio.Event()
        token: Any = anyio.lowlevel.current_token()
        native = token.native_token
        self._soon = getattr(native, "call_soon_threadsafe", None) or native.run_sync_soon

    def set(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, and the tasks that waited are gone
            self._soon(self._event.set)

    async def wait(self) -> None:
        await self._event.wait()
