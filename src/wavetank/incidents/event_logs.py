"""Event logs, as `wavetank serve --journal` writes them: each request with the outcome that followed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from ..events import Event, EventLogError, read_header
from ..scenario import RefusalError, RetryAfterForm
from .exchange import Exchange, IncidentError, model_name
from .lines import Line

_ENDS: Final = ("answered", "refused", "left")
_ERRORS: Final[dict[str, RefusalError]] = {
    "requests-per-day": "quota",
    "tokens-per-day": "quota",
    "ramp": "ramp",
}


def exchanges(lines: Iterator[Line]) -> Iterator[Exchange]:
    """The requests of an event log, in the order in which they ended; those without an end come last.

    Raises:
        IncidentError: it is of another version, or a line is torn or no event; names the line.
    """
    first = next(lines)
    try:
        read_header(first.text)
    except EventLogError as error:
        raise IncidentError(f"{first.place}: {error}") from None
    open_ones: dict[int, Event] = {}
    for line in lines:
        event = _event(line)
        if event is None or event.request is None:
            continue
        if event.kind == "arrived":
            open_ones[event.request] = event
        elif event.kind in _ENDS and (arrived := open_ones.pop(event.request, None)) is not None:
            yield _exchange(arrived, event)
    yield from (_unanswered(each) for each in open_ones.values())


def _event(line: Line) -> Event | None:
    if line.text.startswith((b'{"end":', b'{"notes":')):
        return None
    try:
        return msgspec.json.decode(line.text, type=Event)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise IncidentError(
            f"{line.place}: no event, or a torn one: {line.hidden(error)}; {line.fix}"
        ) from None


def _unanswered(arrived: Event) -> Exchange:
    return Exchange(at=arrived.at, model=model_name(arrived.model), key=arrived.key or "")


def _exchange(arrived: Event, end: Event) -> Exchange:
    known = _unanswered(arrived)
    if end.kind == "refused":
        mistake = end.reason == "bad-request"
        return msgspec.structs.replace(
            known,
            status=end.status or 429,
            refused=not mistake,
            own_mistake=mistake,
            retry_after=end.retry_after,
            form=_form(end.header),
            error=_ERRORS.get(end.reason or ""),
            lasted=end.at - arrived.at,
            scope=(end.scope or "").rpartition("/")[2].partition(":")[0],
            reason=end.reason or "",
        )
    if end.status != 200:
        return known
    lasted = end.at - arrived.at if end.kind == "answered" and end.fault is None else None
    return msgspec.structs.replace(known, status=200, lasted=lasted)


def _form(header: str | None) -> RetryAfterForm:
    if header is None:
        return "seconds"
    return "ms" if header.startswith("retry-after-ms") else "http-date"
