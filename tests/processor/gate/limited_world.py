"""A provider with a limit and a pace before it, as a loop over events: a minute takes a tenth of a second."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from wavetank.processor import Limits
from wavetank.processor.gate.delays import ExponentialDelay
from wavetank.processor.gate.pace import Pace
from wavetank.processor.gate.tickets import Ticket

TOKENS = 200
"""What a request of the size 1 takes."""


@dataclass
class World:
    """A bucket of so many requests that refills at a rate; a refusal states whole seconds, rounded up.

    With `sizes` the limit counts tokens: a request has the next of them, which are 1 on the average.

    `service` and `refusal` are how long an answer and a refusal take. Going over the limit
    refuses all requests for `penalty`. No more than `cap` may be under way. From the instant
    `change[0]` on the rate and the depth are multiplied by `change[1]`.
    """

    rate: float
    depth: float
    service: float = 0.08
    refusal: float = 0.01
    penalty: float = 0.0
    cap: float = math.inf
    change: tuple[float, float] = (math.inf, 1.0)
    items: int = 0
    sizes: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        self.items = self.items or round(self.rate * 60 + self.depth)
        self._level, self._at, self._closed_until = self.depth, 0.0, 0.0

    @property
    def ideal_seconds(self) -> float:
        """How long a client takes that knows the limit and is never refused."""
        if self.cap < math.inf and self.cap / self.service < self.rate:
            return self.items / self.cap * self.service
        before = self.depth + self.rate * self.change[0]
        if self.items <= before:
            return (self.items - self.depth) / self.rate + self.service
        left = self.items - before - self.depth * self.change[1]
        return self.change[0] + left / (self.rate * self.change[1]) + self.service

    def wait(self, now: float, under_way: int, size: float = 1.0) -> float:
        """How long a request that comes now would have to wait; 0 if it is let in."""
        least = min(size, self.depth)
        if now >= self.change[0]:
            factor, self.change = self.change[1], (math.inf, 1.0)
            self.rate, self.depth = self.rate * factor, max(1.0, self.depth * factor)
            self._level = self.depth
        self._level = min(self.depth, self._level + self.rate * (now - self._at))
        self._at = now
        if now < self._closed_until:
            return self._closed_until - now
        if under_way >= self.cap:
            return 1.0
        if self._level < least - 1e-9:
            self._closed_until = now + self.penalty
            return max(self.penalty, (least - self._level) / self.rate)
        self._level -= size
        return 0.0


@dataclass
class _Client:
    """The rules of the gate, without tasks: pauses, generations, the probe."""

    world: World
    pace: Pace
    left: int
    now: float = 0.0
    started: int = 0
    since: int = 0
    generation: int = 0
    in_a_row: int = 0
    refused: int = 0
    deadline: float = -1.0
    proven: bool = True
    probe: Ticket | None = None
    inside: int = 0
    wakes_at: float = -1.0
    under_way: set[int] = field(default_factory=set)
    events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    order: itertools.count[int] = field(default_factory=itertools.count)

    def at(self, instant: float, what: Callable[[], None]) -> None:
        """Do it then."""
        heapq.heappush(self.events, (instant, next(self.order), what))

    def opens_at(self) -> float:
        """As `Gate` decides it."""
        if self.now < self.deadline:
            return self.deadline
        if self.probe is not None:
            until = self.probe.sent + self.pace.refusal_seconds
            if self.now < until:
                return until
            self.probe, self.proven = None, True
            self.pace.restart(self.now)
        if len(self.under_way) + 1 > self.pace.room:
            return math.inf
        size = self.world.sizes[(self.started + 1) % len(self.world.sizes)]
        return self.pace.opens_at(size * TOKENS, self.now)

    def send(self) -> None:
        """Send what may be sent now, and come back when more may."""
        while self.left:
            at = self.opens_at()
            if at > self.now:
                if at < math.inf and not self.now < self.wakes_at <= at:
                    self.wakes_at = at
                    self.at(at, self.send)
                return
            self.start()

    def start(self) -> None:
        """Send one."""
        self.started, self.since, self.left = self.started + 1, self.since + 1, self.left - 1
        size = self.world.sizes[self.started % len(self.world.sizes)]
        tokens = size * TOKENS
        ticket = Ticket(self.started, self.generation, self.now, len(self.under_way) + 1, tokens)
        self.under_way.add(ticket.number)
        self.pace.start(ticket)
        if not self.proven:
            self.probe = ticket
        wait = self.world.wait(self.now, self.inside, size)
        if wait:
            self.at(self.now + self.world.refusal, lambda: self.end(ticket, math.ceil(wait - 1e-9)))
        else:
            self.inside += 1
            self.at(self.now + self.world.service, lambda: self.end(ticket, None))

    def end(self, ticket: Ticket, wait: float | None) -> None:
        """An answer, or a refusal that states a wait."""
        if wait is None:
            self.served(ticket)
        else:
            self.refuse(ticket, wait)
        self.under_way.discard(ticket.number)
        self.pace.ended(ticket)
        if self.probe is ticket:
            self.probe = None
        self.send()

    def served(self, ticket: Ticket) -> None:
        """As `Gate.succeeded`."""
        self.inside -= 1
        self.pace.answered(ticket, self.now)
        if ticket.generation == self.generation:
            self.in_a_row = 0
            if ticket is self.probe and self.now >= self.deadline:
                self.proven = True
                self.pace.restart(self.now)

    def refuse(self, ticket: Ticket, wait: float) -> None:
        """As `Gate.refused`."""
        self.refused, self.left = self.refused + 1, self.left + 1
        pause = ExponentialDelay().seconds(self.in_a_row, wait)
        if ticket.generation == self.generation:
            self.pace.refused(ticket, pause, self.now, alone=self.since <= 1)
            self.generation, self.since, self.in_a_row = self.generation + 1, 0, self.in_a_row + 1
        else:
            self.pace.refused_too(ticket, self.now)
        if self.now + pause > self.deadline:
            self.deadline, self.proven = self.now + pause, False
            self.pace.restart(self.deadline)


def run(world: World, *, on_change: Callable[[float, float], None] | None = None) -> tuple[float, int]:
    """How long the work takes before that world, in seconds, and how many requests are refused."""
    client = _Client(
        replace(world), Pace(Limits(), on_change=on_change, left=lambda: client.left), world.items
    )
    client.send()
    while client.events:
        client.now, _, what = heapq.heappop(client.events)
        what()
        if not client.left and not client.under_way:
            break
    assert not client.left
    return client.now, client.refused
