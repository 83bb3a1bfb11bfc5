"""A task group that is open as long as the `async with` of a processor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import final

import anyio
from anyio.abc import TaskGroup

from .errors.error_fields import unwrap_single_group


@final
class Background:
    """Runs the work of a stream beside the loop that fetches its results.

    A single error is raised as it is, not in a group of one.
    """

    def __init__(self) -> None:
        self._group: TaskGroup = anyio.create_task_group()

    async def open(self) -> None:
        """Open the task group; then tasks may be started."""
        await self._group.__aenter__()

    def start(
        self, work: Callable[[], Awaitable[None]], ended: Callable[[Exception | None], None]
    ) -> anyio.CancelScope:
        """Start work in a task; `ended` is called with its error. Return the scope that cancels it."""
        scope = anyio.CancelScope()

        async def run() -> None:
            error: Exception | None = None
            try:
                with scope:
                    await work()
            except Exception as raised:
                error = raised
            finally:
                ended(error)

        self._group.start_soon(run, name="wavetank-run")
        return scope

    async def close(self, error: BaseException | None) -> None:
        """Cancel the tasks and wait for their end; `error` is the error of the `async with` block."""
        if error is None:
            self._group.cancel_scope.cancel()
        try:
            await self._group.__aexit__(type(error) if error else None, error, None)
        except BaseExceptionGroup as errors:
            one = unwrap_single_group(errors)
            if one is errors:
                raise
            if one is not error:
                raise one from one.__cause__
