"""The gate: the only place that decides whether a request may start now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import anyio
import anyio.lowlevel

from ..decisions import Decision, DecisionKind
from ..limits import Limits, RateInfo
from .delays import ExponentialDelay, RateLimitStrategy, with_buffer
from .learner import unknown
from .pace import Pace
from .permits import HeldPermit
from .sent_requests import LATE
from .tickets import GateClosed, Ticket


class Gate:
    """Lets requests start at a pace, and holds them all back during a pause.

    A pause is a number: the instant before which nothing starts. It belongs to no task, and
    no event ends it, so the cancellation of one waiter cannot end the pause of another. The
    instant can only move later.

    Each pause opens a new generation. A refusal of a request that was sent before the pause
    belongs to the same wave: the Retry-After it states can make the pause longer, but it
    never opens another pause.

    After a pause one request starts first, the probe. The others wait for its answer, or
    for as long as a refusal may take. If the probe succeeds, the others follow at the pace.
    If it is refused, the next pause begins. If it ends in another way, also by cancellation,
    the next waiter becomes the probe.

    A refusal that holds for every request, such as that of a spent quota, closes the gate
    for good: call `exhausted` in place of `refused`.

    Waiters wait in one line. Only the first one looks at the clock, so requests start in the
    order in which they came, and small requests do not overtake a large one for ever.

    Every ticket must be given back with `leave`, so use the gate like this::

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
        delays: the length of a pause; by default 1 s, doubled up to 60 s, or the stated wait.
        limits: the known limits; the others are learnt.
        observer: called with each decision of the gate, its instants on anyio's clock; may be set later.
        name: what the gate is for.
        left: how many requests are still to be sent; by default unknown.
    """

    def __init__(
        self,
        *,
        delays: RateLimitStrategy | None = None,
        limits: Limits | None = None,
        observer: Callable[[Decision], object] | None = None,
        name: str = "",
        left: Callable[[], float] = unknown,
    ) -> None:
        self.name: Final = name
        self.observer = observer
        self.pace = Pace(limits or Limits(), on_change=self._rate_changed, left=left)
        self._delays = delays or ExponentialDelay()
        self._started = 0
        self._started_since = 0
        self._generation = 0
        self._deadline = float("-inf")
        self._proven = True
        self._resumes = False
        self._pauses = 0
        self._pauses_in_a_row = 0
        self._paused_before = 0.0
        self._pause_began = 0.0
        self._probe: Ticket | None = None
        self._failed_after = 0.0
        self._crowded_until = float("-inf")
        self._under_way: dict[Ticket, None] = {}
        self._queue_lock = anyio.Lock()
        self._changed: anyio.Event | None = None
        self._closed = False
        self._closing: anyio.Event | None = None
        self._closed_because: str | None = None

    def __repr__(self) -> str:
        state = (
            "closed"
            if self._closed
            else "open"
            if self._proven
            else "probe under way"
            if self._probe
            else "paused"
        )
        return (
            f"<Gate {state}, generation {self._generation}, {len(self._under_way)} under way, "
            f"no request before {self._deadline}>"
        )

    @property
    def generation(self) -> int:
        """How many pauses were opened by refusals."""
        return self._generation

    @property
    def pauses(self) -> int:
        """How many pauses there were, for any cause; a pause that becomes longer is still one."""
        return self._pauses

    @property
    def deadline(self) -> float:
        """The instant, on anyio's clock in seconds, before which no request starts."""
        return self._deadline

    @property
    def holds_back(self) -> bool:
        """Whether nothing starts now, because of a pause or because its probe is under way."""
        return anyio.current_time() < self._deadline or self._probe is not None

    @property
    def under_way(self) -> int:
        """How many requests have started and not ended."""
        return len(self._under_way)

    @property
    def closed(self) -> bool:
        """Whether nothing starts any more."""
        return self._closed

    @property
    def closed_because(self) -> str | None:
        """Why nothing starts any more, if a refusal said so."""
        return self._closed_because

    @property
    def paused_seconds(self) -> float:
        """How many seconds were spent in pauses, with the part of the present pause that has passed."""
        passed = min(anyio.current_time(), self._deadline) - self._pause_began
        return self._paused_before + max(0.0, passed)

    def under_way_since(self, instant: float) -> int:
        """How many of the requests under way were sent at this instant of anyio's clock or later."""
        return sum(ticket.sent >= instant for ticket in self._under_way)

    async def enter(self, tokens: float = 0.0, *, permit: HeldPermit | None = None) -> Ticket:
        """Wait until a request may start, then return its ticket.

        Nothing is awaited between the decision and the return. So no pause can begin between
        them for a request that is sent at once, and a cancelled waiter never holds a ticket.

        Args:
            tokens: the estimate of what the request takes.
            permit: is released while the waiter is in the line, so that others can use it.

        Raises:
            GateClosed: the gate was closed.
        """
        await anyio.lowlevel.checkpoint()
        now = anyio.current_time()
        if not self._queue_lock.locked() and self._opens_at(tokens, now) <= now:
            return self._start(tokens, now)
        if permit is not None:
            return await self._enter_releasing_permit(permit, tokens)
        async with self._queue_lock:
            return self._start(tokens, await self._open(tokens))

    @property
    def max_tokens_per_item(self) -> float | None:
        """How many tokens an item may need at most, where the limit is configured."""
        return self.pace.max_tokens_per_item

    def admits(self, ticket: Ticket) -> bool:
        """Whether a ticket is still valid: since then no pause began, and the gate was not closed."""
        held = ticket.generation != self._generation or anyio.current_time() < self._deadline
        return not (held or self._closed)

    def close(self) -> None:
        """Let nothing start any more: every call of `enter`, also one that waits, raises `GateClosed`."""
        self._closed = True
        self._look_again()
        if self._closing is not None:
            self._closing.set()

    async def rest(self, until: float) -> None:
        """Wait until that instant, or until the gate is closed."""
        if self._closed:
            return
        if self._closing is None:
            self._closing = anyio.Event()
        with anyio.CancelScope(deadline=until):
            await self._closing.wait()

    def refused(
        self,
        ticket: Ticket,
        retry_after_seconds: float | None = None,
        *,
        outage: str | None = None,
        latest: float = float("inf"),
    ) -> None:
        """Report that the ticket's request was refused now, for a reason that passes with time.

        Args:
            ticket: what `enter` returned for the request.
            retry_after_seconds: the wait that the provider asked for. Nothing starts before that
                time and the margin of `with_buffer` have passed. `None` or 0: the gate's own delay.
            outage: what happened, if it was no refusal: the provider is away. Then the rate and
                the number of requests under way are not the reason, and are not cut.
            latest: the instant at which the next probe is sent, if the gate's own delay is longer.
        """
        if self._closed_because is not None:
            # Nothing is sent, so there is nothing to hold back.
            self.leave(ticket)
            return
        now = anyio.current_time()
        # In an outage the probe is given time to fail as the last request did, often by a timeout.
        self._failed_after = 0.0 if outage is None else max(1.0, now - ticket.sent)
        stated = retry_after_seconds if retry_after_seconds and retry_after_seconds > 0 else None
        if ticket.generation == self._generation:
            delay = self._delays.seconds(self._pauses_in_a_row, stated)
            until = now + delay if stated else min(now + delay, max(now, latest))
            if outage is None:
                self.pace.refused(ticket, until - now, now, alone=self._started_since <= 1)
            self._generation += 1
            self._started_since = 0
            self._pause(until, now, outage)
            self._pauses_in_a_row += 1
        else:
            if outage is None:
                self.pace.refused_too(ticket, now)
            if stated is not None:
                self._pause(now + with_buffer(stated), now)
        self.leave(ticket)

    def exhausted(self, ticket: Ticket, reason: str) -> None:
        """Report that the ticket's request was refused now, with a refusal that holds for all others.

        Nothing starts any more. Requests that are under way are not affected.

        Args:
            ticket: what `enter` returned for the request.
            reason: why, in words; the first reason is kept.
        """
        if self._closed_because is None:
            self._closed_because = reason
            self.close()
            self._decide("closed", anyio.current_time(), reason=reason)
        self.leave(ticket)

    def succeeded(self, ticket: Ticket, tokens: float | None = None) -> None:
        """Report that the ticket's request was served now, and how many tokens it took, if known.

        A request that was sent before the latest pause says nothing about the time after it:
        only the success of the probe opens the gate.
        """
        now = anyio.current_time()
        self.pace.answered(ticket, now, tokens)
        if ticket.generation == self._generation:
            self._pauses_in_a_row = 0
            if ticket is self._probe and now >= self._deadline:
                self._proven = True
                self.pace.restart(now)
        self.leave(ticket)

    def learn(self, info: RateInfo, ticket: Ticket | None = None) -> None:
        """Learn the provider's limits from an answer.

        If only the reset of a spent budget is known, a pause begins until then.

        Args:
            info: the limits that the answer states.
            ticket: that of the request that was answered.
        """
        now = anyio.current_time()
        number, sent = (self._started, now) if ticket is None else (ticket.number, ticket.sent)
        spent_for = self.pace.learn(info, number=number, sent=sent, now=now).spent_for
        if (wait := max(info.wait or 0.0, spent_for)) > 0:
            self._pause(now + wait, now)
        self._look_again()

    def retune(self, limits: Limits | None) -> None:
        """Keep other limits from now on; those that are not given are learnt."""
        self.pace.retune(limits or Limits(), now := anyio.current_time())
        self.pace.restart(now)
        self._look_again()

    def hold(self, until: float) -> None:
        """Begin a pause until this instant, which an earlier run knew, unless it is past."""
        if until > (now := anyio.current_time()):
            self._pause(until, now)

    def leave(self, ticket: Ticket) -> None:
        """Give the ticket back, however its request ended; a second call does nothing."""
        if ticket in self._under_way:
            del self._under_way[ticket]
            self.pace.ended(ticket)
            if ticket is self._probe:
                self._probe = None
            self._look_again()

    async def _enter_releasing_permit(self, permit: HeldPermit, tokens: float) -> Ticket:
        """Wait without the permit; the first in line acquires it when the gate opens, and checks again."""
        with permit.released_while_waiting():
            async with self._queue_lock:
                while True:
                    await self._open(tokens)
                    await permit.acquire()
                    if self._opens_at(tokens, now := anyio.current_time()) <= now:
                        return self._start(tokens, now)
                    permit.release()

    async def _open(self, tokens: float) -> float:
        """Wait until a request may start, and return that instant."""
        while (until := self._opens_at(tokens, now := anyio.current_time())) > now:
            await self._wait(until)
        return now

    def _opens_at(self, tokens: float, now: float) -> float:
        """The instant at which to check again; if it is not later than `now`, a request may start."""
        if self._closed:
            raise GateClosed(f"{self._closed_because or 'the run has ended'}; nothing more is sent")
        if now < self._deadline:
            return self._deadline
        if self._probe is not None:
            longest_wait = max(self.pace.refusal_seconds, LATE * self._failed_after)
            if now < self._probe.sent + longest_wait:
                return self._probe.sent + longest_wait
            self._probe, self._proven = None, True
            self.pace.restart(now)
        if len(self._under_way) + 1 > self.pace.room and now < self._crowded_until:
            return self._crowded_until
        return self.pace.opens_at(tokens, now)

    def _start(self, tokens: float, now: float) -> Ticket:
        self._started += 1
        self._started_since += 1
        ticket = Ticket(self._started, self._generation, now, len(self._under_way) + 1, tokens)
        self._under_way[ticket] = None
        self._crowded_until = now + self.pace.crowded_wait_seconds
        self.pace.start(ticket)
        if not self._proven:
            self._probe = ticket
        if self._resumes:
            self._resumes = False
            self._decide("resumed", now)
        return ticket

    async def _wait(self, until: float) -> None:
        """Wait until that instant or until the state changes; only the first in line calls this."""
        self._changed = anyio.Event()
        with anyio.CancelScope(deadline=until):
            await self._changed.wait()

    def _look_again(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def _pause(self, deadline: float, now: float, outage: str | None = None) -> None:
        if deadline > self._deadline and self._closed_because is None:
            self._note_pause(deadline, now, outage)
            self._proven = False
            self.pace.restart(deadline)

    def _note_pause(self, deadline: float, now: float, outage: str | None = None) -> None:
        if deadline > self._deadline and self._closed_because is None:
            if now >= self._deadline:
                self._paused_before, self._pause_began = self.paused_seconds, now
                self._pauses += 1
            self._deadline = deadline
            self._resumes = True
            self._decide("paused", now, until=deadline, reason=outage)

    def _rate_changed(self, old: float, new: float) -> None:
        self._decide("grown" if new > old else "cut", anyio.current_time(), rate=new)

    def _decide(
        self,
        kind: DecisionKind,
        now: float,
        *,
        reason: str | None = None,
        until: float | None = None,
        rate: float | None = None,
    ) -> None:
        if self.observer is not None:
            self.observer(Decision(kind, now, self.name, reason=reason, until=until, rate=rate))
