"""What a request shows to the gate, and the ticket that it gets there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
class GateClosed(RuntimeError):
    """The gate lets nothing start any more: the run has ended, or the quota of its scope is used up."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """The permission to send one request.

    `number` counts the requests from 1. `generation` counts the pauses that were opened before
    it was sent. `sent` is the instant on anyio's clock. `under_way` is how many requests were
    under way then, with this one. `tokens` is the estimate of what it takes.
    """

    number: int
    generation: int
    sent: float
    under_way: int
    tokens: float
