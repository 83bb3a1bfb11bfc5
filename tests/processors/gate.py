"""The gate of the shared-gate processors: the one place that decides whether a request may start."""

from __future__ import annotations

from typing import final

import anyio

SPACING = 0.02


@final
class Gate:
    """Lets one request start every 20 ms, and none before `next_start`, which a refusal moves."""

    def __init__(self) -> None:
        self.next_start = 0.0
        self.pause = 0
        self.in_a_row = 0
        self.turn = anyio.Lock()

    async def enter(self) -> int:
        """Wait for a turn; returns the number of the latest pause, for `refused` and `passed`."""
        async with self.turn:
            # The worker whose turn it is looks again after each sleep, because the pause may have grown.
            while (left := self.next_start - anyio.current_time()) > 0:
                await anyio.sleep(left)
            self.next_start = anyio.current_time() + SPACING
            return self.pause

    def refused(self, pause: int, retry_after: float | None) -> None:
        """Hold everybody; a refusal from before the latest pause may only make that longer."""
        wait = retry_after or min(30.0, 2.0**self.in_a_row)
        self.next_start = max(self.next_start, anyio.current_time() + wait)
        if pause == self.pause:
            self.pause, self.in_a_row = self.pause + 1, self.in_a_row + 1

    def passed(self, pause: int) -> None:
        """A request got its answer; one from before the latest pause says nothing about the time after."""
        if pause == self.pause:
            self.in_a_row = 0
