"""The time limit of a run, which may be set, moved and removed while the run works."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

import anyio

from .stopping import Bounds


@final
class TimeLimit:
    """Ends work when the time of a run is up.

    Args:
        began: when the run began, on anyio's clock.
        bounds: those of the run.
    """

    def __init__(self, began: float, bounds: Bounds | None) -> None:
        self._began: Final = began
        self._scopes: set[anyio.CancelScope] = set()
        self._changed = anyio.Event()
        self.change(bounds)

    def change(self, bounds: Bounds | None) -> None:
        """Use other bounds, also for work that has begun."""
        seconds = None if bounds is None else bounds.seconds
        self._end = math.inf if seconds is None else self._began + seconds
        for scope in self._scopes:
            scope.deadline = self._end
        self._changed.set()

    async def wait(self) -> None:
        """Wait until the time is up."""
        while (end := self._end) > anyio.current_time():
            self._changed = anyio.Event()
            with anyio.CancelScope(deadline=end):
                await self._changed.wait()

    @contextmanager
    def scope(self) -> Iterator[anyio.CancelScope]:
        """Cancel the work in the block when the time is up."""
        with anyio.CancelScope(deadline=self._end) as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)
