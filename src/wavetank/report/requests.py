"""The requests of a run as a picture has them: when each was sent, refused, answered, and asked again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Literal, final

from ..checks.exchanges import Exchange, Stalls, every_exchange, scopes_of
from ..checks.history import happened
from ..clock import MILLISECOND
from ..events import Event, EventLog

Outcome = Literal["answered", "refused", "spoiled", "left", "open"]
"""What became of a request: `spoiled` is an answer or a connection with one of the scenario's faults."""

TOLERANCE: Final = MILLISECOND
"""A request that comes less than this too early is on time, as the check `retry_after` has it."""

_OPEN_ENDED: Final = float("inf")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; instants are in nanoseconds since the start of the run, `None` where it did not happen.

    `sent` is when the client entered the call, `first` when the provider sent the first part of a stream,
    `replied` when the provider had sent its reply, `over` when
    the client had it or had hung up. `free_from` is when the wait that its refusal asked for is over,
    `again` the next request of the same item. It was sent `early_by` nanoseconds before the wait was over
    that the refusal of request `early_for` asked for.
    """

    number: int
    item: str | None
    task: str | None
    place: str | None
    model: str | None
    sent: int
    arrived: int
    held: int | None
    first: int | None
    replied: int | None
    over: int | None
    outcome: Outcome
    status: int | None
    scope: str | None
    free_from: int | None
    again: int | None
    early_by: int
    early_for: int | None

    def end(self, last: int) -> int:
        """When it was over; the instant `last` where it never was."""
        return last if self.over is None else self.over


def place_of(event: Event) -> str | None:
    """`app/jobs.py:12`, where the event says so."""
    return None if event.file is None else f"{event.file}:{event.line}"


def requests(log: EventLog) -> tuple[Request, ...]:
    """All requests of a log, in the order of their arrival."""
    return log.derived(_read)


def unread(log: EventLog) -> tuple[Request, ...]:
    """Those whose reply the client neither read to its end nor closed, although it had the time to."""
    if log.end is None:
        return ()
    end, stalls = log.end.at, Stalls(log)
    replied = [one for one in requests(log) if one.over is None and one.replied is not None]
    return tuple(one for one in replied if end - (at := one.replied or 0) > stalls.within(at, end))


def _read(log: EventLog) -> tuple[Request, ...]:
    found = every_exchange(log)
    spoiled = {event.request for event in log if event.fault is not None}
    early = _early(found)
    following = _following(found)
    return tuple(_request(one, spoiled, early, following) for one in found)


def _request(
    one: Exchange,
    spoiled: set[int | None],
    early: dict[int | None, tuple[int, int]],
    following: dict[int | None, int],
) -> Request:
    arrived, refused = one.arrived, one.refused
    early_by, early_for = early.get(arrived.request, (0, None))
    return Request(
        number=arrived.request or 0,
        item=arrived.item,
        task=arrived.task,
        place=place_of(arrived),
        model=arrived.model,
        sent=one.sent,
        arrived=arrived.at,
        held=one.held,
        first=one.first,
        replied=one.replied,
        over=one.over,
        outcome=_outcome(one, arrived.request in spoiled),
        status=None if refused is None else refused.status,
        scope=None if refused is None else refused.scope,
        free_from=one.free_from,
        again=following.get(arrived.request),
        early_by=early_by,
        early_for=early_for,
    )


def _outcome(one: Exchange, spoiled: bool) -> Outcome:
    if one.refused is not None:
        return "refused"
    if spoiled:
        return "spoiled"
    if one.left:
        return "left"
    return "open" if one.over is None else "answered"


def _following(found: Sequence[Exchange]) -> dict[int | None, int]:
    """For each request the next one of the same item."""
    next_of: dict[int | None, int] = {}
    latest: dict[str, int | None] = {}
    for one in found:
        item, number = one.arrived.item, one.arrived.request
        if item is not None and number is not None:
            if item in latest:
                next_of[latest[item]] = number
            latest[item] = number
    return next_of


def _early(found: Sequence[Exchange]) -> dict[int | None, tuple[int, int]]:
    """The requests that were sent while a refusal that speaks for them still asked to wait.

    For each: how much too early, and which request was refused.
    """
    heard = sorted(
        (one for one in found if one.heard_at is not None and one.free_from is not None),
        key=lambda one: one.heard_at or 0,
    )
    waits: dict[str, tuple[int, int]] = {}
    early: dict[int | None, tuple[int, int]] = {}
    place = 0
    for one in sorted(found, key=attrgetter("sent")):
        while place < len(heard) and (heard[place].heard_at or 0) <= one.sent:
            _note_wait(waits, heard[place])
            place += 1
        until, number = max((waits.get(scope, (0, 0)) for scope in scopes_of(one.arrived)), default=(0, 0))
        if until - one.sent > TOLERANCE:
            early[one.arrived.request] = (until - one.sent, number)
    return early


def _note_wait(waits: dict[str, tuple[int, int]], one: Exchange) -> None:
    assert one.refused is not None
    scope = one.refused.scope or ""
    wait = (one.free_from or 0, one.arrived.request or 0)
    waits[scope] = max(waits.get(scope, (0, 0)), wait)


def rows_of(spans: Iterable[tuple[int, int]]) -> list[int]:
    """For each span, in the order of their beginnings, the first row in which it overlaps no other."""
    ends: list[float] = []
    rows: list[int] = []
    for begin, end in spans:
        row = next((number for number, until in enumerate(ends) if until <= begin), len(ends))
        if row == len(ends):
            ends.append(_OPEN_ENDED)
        # Two requests of no length at one instant would else share a row and hide each other.
        ends[row] = max(end, begin + 1)
        rows.append(row)
    return rows


def words(event: Event) -> str:
    """An event as a sentence without who did it where."""
    error = f": {event.error}" if event.kind == "failed" and event.error else ""
    return f"{happened(event)}{error}"
