"""An event loop in a thread of its own, for applications that a blocking client asks."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import Any, final

Body = Callable[[], Coroutine[Any, Any, None]]


@final
class AppTasks:
    """Starts the tasks in which applications answer: in the client's own loop, or beside a blocking one.

    An application may keep locks and connections from request to request, so all blocking clients share
    one loop. Its thread is started when it is first needed.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = deque[tuple[str, Body]]()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, name: str, body: Body, *, blocking: bool) -> None:
        """Run `body` in a task of that name; `blocking`: the caller is about to block its thread."""
        loop = None if blocking else asyncio._get_running_loop()
        trio = None if blocking or loop is not None else sys.modules.get("trio")
        if loop is not None:
            self._begin(loop, name, body)
        elif trio is not None and trio.lowlevel.in_trio_task():
            trio.lowlevel.spawn_system_task(body, name=name)
        else:
            self._waiting.append((name, body))
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A thread of this name is known to be idle.
                threading.Thread(
                    target=self._serve, args=(self._loop,), name="wavetank-loop-apps", daemon=True
                ).start()
            with suppress(RuntimeError):  # the loop is closed: the run is over
                self._loop.call_soon_threadsafe(self._begin_waiting)

    def close(self) -> None:
        """End the loop; what runs in it is cancelled."""
        loop, self._loop = self._loop, None
        if loop is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(loop.stop)

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.run_forever()
        loop.run_until_complete(self._end(loop))
        loop.close()

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        for task in (left := asyncio.all_tasks(loop) - {asyncio.current_task(loop)}):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await loop.shutdown_asyncgens()

    def _begin_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            self._begin(loop, *self._waiting.popleft())

    def _begin(self, loop: asyncio.AbstractEventLoop, name: str, body: Body) -> None:
        # As a server has it: nothing of the client's context.
        task = loop.create_task(body(), name=name, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def __repr__(self) -> str:
        return f"<AppTasks [{len(self._tasks)} running]>"
