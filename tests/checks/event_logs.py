"""Event logs that the tests of the checks write by hand."""

from __future__ import annotations

from typing import Any

from wavetank.clock import SECOND
from wavetank.events import Event, EventKind, EventLog, Header, RunEnd


def log_of(*events: Event | list[Event], end: RunEnd | None = None, **header: Any) -> EventLog:
    """A log of these events, in order; without `end` the run is not over."""
    log = EventLog(Header(scenario="calm", digest="00000000", seed=0, backend="asyncio", **header))
    for event in events:
        for each in event if isinstance(event, list) else [event]:
            log.append(each)
    if end is not None:
        log.finish(end)
    return log


def happened(kind: EventKind, at: float, item: str = "a", **fields: Any) -> Event:
    """An event `at` so many seconds."""
    return Event(at=round(at * SECOND), kind=kind, item=item, **fields)
