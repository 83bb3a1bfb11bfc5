"""The requests of a log, each with when it was sent, refused, replied to and with its client."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import final

from ..events import Event, EventLog
from .disturbances import explored_stalls
from .history import ledger_of


@final
@dataclass(slots=True)
class Exchange:
    """One request: `replied` is when its last reply was sent, `over` when its client had that or hung up.

    `first` is when the first part of a stream was sent. A client that only knows of a refusal once it is
    `over` cannot have heeded it before. `whole` and `early` are those of the event that ended it.
    """

    arrived: Event
    refused: Event | None = None
    held: int | None = None
    first: int | None = None
    replied: int | None = None
    over: int | None = None
    left: bool = False
    whole: bool = False
    early: bool = False

    @property
    def sent(self) -> int:
        """When the client entered the call or its HTTP pool."""
        return self.arrived.at if self.arrived.sent is None else self.arrived.sent

    @property
    def heard_at(self) -> int | None:
        """When the refusal was with the client, if there was one and the client stayed for it."""
        return self.over if self.refused is not None and not self.left else None

    @property
    def free_from(self) -> int | None:
        """When the wait that the refusal asked for has passed; `None` if it asked for none."""
        if self.refused is None or self.refused.retry_after is None:
            return None
        return self.refused.at + self.refused.retry_after


def exchanges(log: EventLog) -> list[Exchange]:
    """The requests of the ledger's items, in the order of their arrival; without a ledger all of them."""
    return log.derived(_of_the_ledger)


def every_exchange(log: EventLog) -> list[Exchange]:
    """All requests in the order of their arrival, without lines of batches: these travel with another one."""
    return log.derived(_sent_alone)


def with_lines(log: EventLog) -> list[Exchange]:
    """All requests, and the lines of batches: these are `over` when their results have been fetched."""
    return log.derived(_read)


def _sent_alone(log: EventLog) -> list[Exchange]:
    return [one for one in with_lines(log) if one.arrived.batch is None]


def _of_the_ledger(log: EventLog) -> list[Exchange]:
    ledger = ledger_of(log)
    return [one for one in every_exchange(log) if not ledger or one.arrived.item in ledger]


def _read(log: EventLog) -> list[Exchange]:
    found: dict[int | None, Exchange] = {}
    for event in log:
        if event.kind == "arrived":
            found[event.request] = Exchange(event)
        elif event.request is not None and (exchange := found.get(event.request)) is not None:
            _note(exchange, event)
    return list(found.values())


def _note(exchange: Exchange, event: Event) -> None:
    match event.kind:
        case "refused":
            exchange.refused, exchange.replied = event, event.at
        case "answered":
            exchange.replied, exchange.first = event.at, event.first
        case "held":
            exchange.held = event.at
        case "delivered" | "left":
            exchange.over, exchange.left = event.at, event.kind == "left"
            exchange.first = exchange.first or event.first
            exchange.whole, exchange.early = event.whole, event.early
        case _:
            pass


def scope_covers(scope: str | None, request: Event) -> bool:
    """Whether a refusal of this scope covers the request that `arrived`."""
    return scope in scopes_of(request)


def scopes_of(request: Event) -> tuple[str, ...]:
    """Every scope that covers the request that `arrived`, as refusals name it."""
    anywhere = [f"key:{request.key}", f"model:{request.model}"]
    if request.item is not None:
        anywhere.append(f"item:{request.item}")
    if request.host is None:
        return ("account", *anywhere)
    host = f"host:{request.host}"
    return ("account", host, *anywhere, *(f"{host}/{scope}" for scope in anywhere))


@final
class Stalls:
    """The stretches in which the explorer let time pass inside the program, between two of its steps."""

    def __init__(self, log: EventLog) -> None:
        stalls = [event for event in explored_stalls(log) if event.since is not None]
        spans = sorted((event.since, event.at) for event in stalls if event.since is not None)
        self._since = [since for since, _ in spans]
        self._until = [until for _, until in spans]
        self._before = [0, *accumulate(until - since for since, until in spans)]
        """How long the stretches before each of them took."""

    def within(self, begin: int, end: int) -> int:
        """How long the program was stalled between two instants."""
        return max(0, end - begin) - max(0, self.work_until(end) - self.work_until(begin))

    def work_until(self, instant: int) -> int:
        """How much time had passed by then without a stall; it never goes back."""
        number = bisect_right(self._since, instant)
        over_by = self._until[number - 1] - instant if number else 0
        return instant - self._before[number] + max(0, over_by)
