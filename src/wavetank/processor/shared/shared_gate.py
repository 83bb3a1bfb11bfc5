"""A gate whose decisions are made in a place that several processes share."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any, Final, final

import anyio
import anyio.lowlevel

from ..gate.delays import with_buffer
from ..gate.gate import Gate
from ..gate.learner import unknown
from ..gate.pace import FIRST_PER_SECOND, Pace
from ..gate.permits import HeldPermit
from ..gate.tickets import GateClosed, Ticket
from ..limits import MARGIN, Limits, RateInfo
from .link import Link, Started, View
from .shared_pace import NO_LIMIT, US, SharedPace, encode_info
from .stores import Store

LOOK_SECONDS: Final = 1.0
"""How often the first in line looks again where nothing wakes it: as long as a short pause."""
SAME_INSTANT_SECONDS: Final = 0.01
"""A deadline that is no later than this after a known one is the same: the way of the reply takes time."""

logger: Final = logging.getLogger("wavetank.processor")


@final
class SharedGate(Gate):
    """A gate that several processes share.

    Its own line keeps the order within the process. The first in line asks the shared state for a
    slot, waits for it, and asks again at that instant: a pause may have begun meanwhile. All that
    is reported is sent on in its order, without being waited for.

    While the place cannot be reached, it is a gate of its own, with the share of the limit that the
    process had last.

    Args:
        store: the place of the state.
        share_of: among how many processes the limit is divided if the place was never reached.
        options: those of `Gate`.
    """

    def __init__(self, store: Store, *, share_of: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._told: Limits = options.get("limits") or Limits()
        self._items_left: Callable[[], float] = options.get("left", unknown)
        self._share_of = share_of
        self.link: Final = Link(store, SharedPace(self._told, self._rate_changed), limits=self._told)
        self._sent_us: dict[Ticket, int] = {}
        self._strays: set[Ticket] = set()
        self._answered: tuple[Ticket, int] | None = None
        self._was_lost = False
        self._has_probe = False

    async def run(self) -> None:
        """Keep the link to the shared state until it is cancelled.

        Raises:
            SharedGateError: the place is of no use.
        """
        await self.link.run(self)

    # -- what the processor calls ---------------------------------------------------------------------

    @property
    def holds_back(self) -> bool:
        """Whether nothing starts now, because of a pause or because its probe is under way."""
        return super().holds_back or (self._has_probe and not self.link.is_away)

    @property
    def max_tokens_per_item(self) -> float | None:
        """How many tokens an item may need at most, where the limit is configured."""
        return self._told.max_tokens_per_item

    async def enter(self, tokens: float = 0.0, *, permit: HeldPermit | None = None) -> Ticket:
        """Wait until a request may start, then return its ticket.

        Raises:
            GateClosed: the gate was closed.
        """
        await anyio.lowlevel.checkpoint()
        if permit is None:
            async with self._queue_lock:
                return await self._first_in_line(tokens, None)
        if not self._queue_lock.locked():
            async with self._queue_lock:
                found = await self._ask(tokens)
            if isinstance(found, Ticket):
                return found
        with permit.released_while_waiting():
            async with self._queue_lock:
                return await self._first_in_line(tokens, permit)

    def close(self) -> None:
        """Let nothing start any more in this process."""
        super().close()
        self.link.release()

    def refused(
        self,
        ticket: Ticket,
        retry_after_seconds: float | None = None,
        *,
        outage: str | None = None,
        latest: float = math.inf,
    ) -> None:
        """Report that the ticket's request was refused now, for a reason that passes with time."""
        if ticket not in self._sent_us and ticket not in self._strays:
            super().refused(ticket, retry_after_seconds, outage=outage, latest=latest)
            self.hold(self._deadline)
            return
        if self._closed_because is not None:
            self.leave(ticket)
            return
        now = anyio.current_time()
        stated = retry_after_seconds if retry_after_seconds and retry_after_seconds > 0 else None
        if ticket in self._strays:
            self.hold(now + self._delays.seconds(self._pauses_in_a_row, stated))
            self._forget(ticket)
            return
        delay, buffered = self._delays.seconds(self._pauses_in_a_row, stated), with_buffer(stated)
        most = max(0.0, latest - now)
        self._report("R", ticket, _us(delay), _us(buffered), _us(most), "0" if outage is None else "1")
        # The pause begins here at once: its cause is known now, and another look at a ticket may follow.
        if ticket.generation == self._generation:
            self._generation += 1
            self._pauses_in_a_row += 1
            self._note_pause(now + (delay if stated else min(delay, most)), now, outage)
        elif stated:
            self._note_pause(now + buffered, now)
        self._forget(ticket)

    def exhausted(self, ticket: Ticket, reason: str) -> None:
        """Report that the ticket's request was refused now, with a refusal that holds for all others."""
        if self._closed_because is None:
            number = ticket.number if ticket in self._sent_us else 0
            self.link.report(f"X {number}|{' '.join(reason.split())}")
        super().exhausted(ticket, reason)

    def succeeded(self, ticket: Ticket, tokens: float | None = None) -> None:
        """Report that the ticket's request was served now, and how many tokens it took, if known."""
        if ticket in self._strays:
            self._forget(ticket)
            return
        if ticket not in self._sent_us:
            super().succeeded(ticket, tokens)
            return
        if ticket.generation == self._generation:
            self._pauses_in_a_row = 0
        self._report("A", ticket, "-" if tokens is None else f"{tokens:.17g}")
        # What its answer states is learnt after this.
        self._answered = ticket, self._sent_us[ticket]
        self._forget(ticket)

    def learn(self, info: RateInfo, ticket: Ticket | None = None) -> None:
        """Learn the provider's limits from an answer."""
        if self.link.is_away or ticket is None:
            super().learn(info, ticket)
            return
        sent = self._sent_us.get(ticket)
        if sent is None and self._answered is not None and self._answered[0] is ticket:
            sent = self._answered[1]
        if sent is not None:
            self.link.report(f"I {ticket.number} {sent}|{encode_info(info)}")
        if info.wait is not None and info.wait > 0:
            now = anyio.current_time()
            self._note_pause(now + info.wait, now)
            self.link.report(f"P {_us(info.wait)}")

    def retune(self, limits: Limits | None) -> None:
        """Keep other limits from now on; those that are not given are learnt."""
        self._told = limits or Limits()
        self.link.retune(self._told)
        super().retune(limits)

    def hold(self, until: float) -> None:
        """Begin a pause until this instant, which an earlier run knew, unless it is past."""
        now = anyio.current_time()
        if until > now:
            super().hold(until)
            self.link.report(f"P {_us(until - now)}")

    def leave(self, ticket: Ticket) -> None:
        """Give the ticket back, however its request ended; a second call does nothing."""
        if ticket in self._sent_us:
            self._report("L", ticket)
        elif ticket not in self._strays:
            super().leave(ticket)
        self._forget(ticket)

    # -- what the link calls --------------------------------------------------------------------------

    def joined(self) -> None:
        """The shared gate can be used from now on."""
        if self._was_lost:
            self._was_lost = False
            logger.warning("%s is back; the limit is shared again", self.link.place)
        # A pause that began meanwhile, or that an earlier run knew, holds for all.
        self.hold(self._deadline)
        self._look_again()

    def lost(self, why: str) -> None:
        """Go on as a gate of its own, with the share that this process had last."""
        share = self.link.members or self._share_of or 1
        self.pace = self._pace_of_share(share)
        # The new pace knows nothing of the requests under way.
        self._strays.update(self._under_way)
        self._sent_us.clear()
        self._started, self._was_lost = 0, True
        self._probe, self._proven = None, anyio.current_time() >= self._deadline
        logger.warning("%s; until it is back this process keeps to 1/%g of the limit by itself", why, share)

    def saw(self, view: View) -> None:
        """Another reply has come."""
        now = anyio.current_time()
        self._has_probe = view.has_probe
        if view.generation >= self._generation:
            self._generation, self._pauses_in_a_row = view.generation, view.in_a_row
        if view.deadline > max(now, self._deadline + SAME_INSTANT_SECONDS):
            self._note_pause(view.deadline, now)

    def look_again(self) -> None:
        """What a waiter waits for has changed."""
        self._look_again()

    def closed_by_other(self, reason: str) -> None:
        """Another process has learnt that nothing more is served."""
        if self._closed_because is None:
            self._closed_because = reason
            self.close()
            self._decide("closed", anyio.current_time(), reason=reason)

    def items_left(self) -> float:
        """How many requests this process has still to send, if that is known."""
        return self._items_left()

    # -- the first in line ----------------------------------------------------------------------------

    async def _first_in_line(self, tokens: float, permit: HeldPermit | None) -> Ticket:
        while True:
            if permit is not None:
                await permit.acquire()
            found = await self._ask(tokens)
            if isinstance(found, Ticket):
                return found
            if permit is not None:
                permit.release()
            if found > anyio.current_time():
                await self._wait(found)

    async def _ask(self, tokens: float) -> Ticket | float:
        """Start a request, or return the instant at which to ask again."""
        while not self.link.is_away:
            if self._closed:
                raise GateClosed(f"{self._closed_because or 'the run has ended'}; nothing more is sent")
            changed = self._changed = anyio.Event()
            answer = await self.link.enter(tokens)
            if isinstance(answer, Started):
                if self._closed:
                    self.link.report(f"W {answer.number}")
                    continue
                return self._begin(answer, tokens)
            if answer is not None:
                if changed.is_set():
                    continue
                hears = answer.is_slot or self.link.hears
                return answer.until if hears else min(answer.until, anyio.current_time() + LOOK_SECONDS)
        now = anyio.current_time()
        until = self._opens_at(tokens, now)
        return until if until > now else self._start(tokens, now)

    def _begin(self, started: Started, tokens: float) -> Ticket:
        now = anyio.current_time()
        ticket = Ticket(started.number, started.generation, now, started.under_way, tokens)
        self._under_way[ticket] = None
        self._sent_us[ticket] = started.sent_us
        self._generation = max(self._generation, started.generation)
        if self._resumes:
            self._resumes = False
            self._decide("resumed", now)
        return ticket

    def _report(self, kind: str, ticket: Ticket, *words: str) -> None:
        self.link.report(" ".join((kind, str(ticket.number), *words)))

    def _forget(self, ticket: Ticket) -> None:
        self._under_way.pop(ticket, None)
        self._sent_us.pop(ticket, None)
        self._strays.discard(ticket)

    def _pace_of_share(self, share: float) -> Pace:
        shared = self.link.pace.pace
        known = self.link.pace.limits if self.link.members else self._told
        rate = shared.per_second * 60 / MARGIN if self.link.members else known.requests_per_minute
        limits = Limits(
            requests_per_minute=None if rate is None else rate / share,
            tokens_per_minute=None if known.tokens_per_minute is None else known.tokens_per_minute / share,
            burst=1.0 if rate is not None else None,
        )
        room = max(1.0, math.floor(shared.room / share)) if math.isfinite(shared.room) else math.inf
        return Pace(
            limits,
            on_change=self._rate_changed,
            left=self._items_left,
            first_per_second=FIRST_PER_SECOND / share,
            room=room,
        )


def _us(seconds: float) -> str:
    """Whole microseconds as text; not rounded down, so that no wait becomes shorter."""
    return f"{min(math.ceil(seconds * US), NO_LIMIT) if math.isfinite(seconds) else NO_LIMIT:.17g}"
