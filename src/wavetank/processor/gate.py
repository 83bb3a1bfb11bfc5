"""The gate: the one place that decides whether a request may start now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import anyio
import anyio.lowlevel

RETRY_AFTER_BUFFER: Final = 0.1
_MAX_DOUBLINGS: Final = 32


@final
@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """Leave to send one request; `generation` counts the pauses opened before it was sent."""

    generation: int


@final
class Gate:
    """Lets requests start, and holds them all back during a pause.

    A pause is a number, the instant before which nothing starts: each waiter sleeps until
    then by itself. No task owns the pause and no event ends it, so no wake-up can be lost
    and cancelling one waiter cannot end the pause of another. The instant only ever moves
    later.

    Each pause opens a new generation. A refusal of a request sent before that belongs to
    the same wave: it can make the pause longer by the Retry-After it states, but never
    opens another.

    After a pause one request goes ahead, the probe, and the others wait for its answer.
    A success lets all of them start, a refusal opens the next pause, and any other end,
    cancellation included, makes the next waiter the probe.

    Every ticket must come back through `leave`, so use the gate like this:

        ticket = await gate.enter()
        try:
            answer = await send()
        except TooManyRequests as error:
            gate.refused(ticket, error.retry_after)
        else:
            gate.succeeded(ticket)
        finally:
            gate.leave(ticket)

    Args:
        base_seconds: the first pause when a refusal states no Retry-After; it doubles with
            each pause until a request succeeds.
        cap_seconds: the longest such pause. A stated Retry-After has no cap.
    """

    def __init__(self, *, base_seconds: float = 1.0, cap_seconds: float = 60.0) -> None:
        self._base = base_seconds
        self._cap = cap_seconds
        self._generation = 0
        self._deadline = float("-inf")
        self._proven = True
        self._pauses_in_a_row = 0
        self._probe: Ticket | None = None
        self._probe_done: anyio.Event | None = None

    def __repr__(self) -> str:
        state = "open" if self._proven else "probe under way" if self._probe else "paused"
        return f"<Gate {state}, generation {self._generation}, no request before {self._deadline}>"

    @property
    def generation(self) -> int:
        """How many pauses have been opened."""
        return self._generation

    @property
    def deadline(self) -> float:
        """The instant, on anyio's clock in seconds, before which no request starts."""
        return self._deadline

    async def enter(self) -> Ticket:
        """Wait until a request may start, then return its ticket.

        Nothing is awaited between the decision and the return: a request sent at once
        cannot slip into a pause that began in between, and a cancelled waiter never holds
        a ticket.
        """
        await anyio.lowlevel.checkpoint()
        while not self._admits(anyio.current_time()):
            await self._wait()
        ticket = Ticket(self._generation)
        if not self._proven:
            self._probe, self._probe_done = ticket, anyio.Event()
        return ticket

    def refused(self, ticket: Ticket, retry_after_seconds: float | None = None) -> None:
        """Note that the ticket's request was refused, now, for reasons that waiting mends.

        Args:
            ticket: what `enter` returned for the request.
            retry_after_seconds: the wait the provider asked for; nothing starts before it,
                plus a tenth, has passed. `None` or nothing above 0: the gate's own delay.
        """
        floor = (retry_after_seconds or 0.0) * (1 + RETRY_AFTER_BUFFER)
        if ticket.generation == self._generation:
            self._pause(floor if floor > 0 else self._own_delay())
            self._generation += 1
            self._pauses_in_a_row += 1
        elif floor > 0:
            self._pause(floor)
        self.leave(ticket)

    def succeeded(self, ticket: Ticket) -> None:
        """Note that the ticket's request was served.

        A request sent before the latest pause says nothing about the time after it, and
        only the probe's success opens the gate.
        """
        if ticket.generation == self._generation:
            self._pauses_in_a_row = 0
            if ticket is self._probe and anyio.current_time() >= self._deadline:
                self._proven = True
        self.leave(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Give the ticket back, whatever became of its request; a second time does nothing."""
        if ticket is self._probe and self._probe_done is not None:
            self._probe = None
            self._probe_done.set()

    def _admits(self, now: float) -> bool:
        return now >= self._deadline and (self._proven or self._probe is None)

    async def _wait(self) -> None:
        """Wait for what holds the request back; the caller looks again, since a pause may have grown."""
        if anyio.current_time() < self._deadline:
            await anyio.sleep_until(self._deadline)
        elif self._probe_done is not None:
            await self._probe_done.wait()

    def _pause(self, seconds: float) -> None:
        deadline = anyio.current_time() + seconds
        if deadline > self._deadline:
            self._deadline = deadline
            self._proven = False

    def _own_delay(self) -> float:
        doublings = min(self._pauses_in_a_row, _MAX_DOUBLINGS)
        return min(self._base * 2.0**doublings, self._cap)
