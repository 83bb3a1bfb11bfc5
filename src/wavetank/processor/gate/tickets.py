"""What a request comes with to the gate, and what it gets there."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, final


class Permit(Protocol):
    """What a waiter needs besides the gate's leave, and does not keep from others while it waits."""

    def released_while_waiting(self) -> AbstractContextManager[None]:
        """For the time of a wait: it begins by laying the permit down."""
        ...

    def release(self) -> None:
        """Let others have it."""
        ...

    async def acquire(self) -> None:
        """Wait until it is free, and take it."""
        ...


@final
class GateClosed(RuntimeError):
    """Nothing may start any more: the run has ended, or what the gate is for is used up."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """Leave to send one request.

    `number` counts the requests from 1; `generation` counts the pauses opened before it was
    sent; `under_way` is how many requests were under way then, with this one; `tokens` is
    what it is thought to take.
    """

    number: int
    generation: int
    sent: float
    under_way: int
    tokens: float
