"""Which kind of file it is, by what is in it, and the requests that it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final, final

import msgspec

from ..events import FORMAT
from . import event_logs, har, rows, spans
from .documents import document, parts
from .exchange import Exchange, IncidentError
from .lines import Line, lines_of

_HEAD: Final = 4096
"""Bytes at the beginning that say what a document is: HAR and OTLP have one key at the top."""

_HAR: Final = re.compile(rb'\{\s*"log"\s*:')
_EVENTS: Final = f'"format":"{FORMAT}"'.encode()
_OTLP: Final = re.compile(rb'\{\s*"resourceSpans"\s*:')
_KINDS: Final = (
    "give an event log (wavetank serve --journal), a HAR file, OpenTelemetry spans or litellm's log in JSON, "
    "or a CSV file with columns such as time, status, retry_after and model"
)


class _Otlp(msgspec.Struct, rename="camel"):
    resource_spans: list[msgspec.Raw]


@final
@dataclass(frozen=True, slots=True)
class Found:
    """One request of a file, or `None` for what is none to an LLM; `is_date`: its time is one."""

    exchange: Exchange | None
    is_date: bool = True


def kind_of(path: Path) -> str:
    """What a file is, in words.

    Raises:
        IncidentError: it cannot be read, is empty, or is none of the kinds.
    """
    head = _head(path)
    if b"\0" in head:
        raise IncidentError(f"{path}: not a text file; {_KINDS}")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        raise IncidentError(f"{path}: the file is empty; {_KINDS}")
    if _HAR.match(text):
        return "a HAR file"
    if text.startswith(b"["):
        return "a list in JSON"
    if not text.startswith(b"{"):
        return "a CSV file"
    first = next(lines_of(path)).text
    if _EVENTS in first:
        return "an event log of wavetank"
    if _OTLP.match(text) and not _is_object(first):
        return "spans in OTLP/JSON"
    return "a JSON object a line" if _is_object(first) else "JSON objects over several lines"


def found_in(path: Path, kind: str) -> Iterator[Found]:
    """The requests of a file of this kind, in its own order.

    Raises:
        IncidentError: it is torn, or a request lacks its time or status; names the line.
    """
    match kind:
        case "an event log of wavetank":
            return (Found(each, False) for each in event_logs.exchanges(lines_of(path)))
        case "a HAR file":
            return map(Found, har.exchanges(path))
        case "a CSV file":
            return (Found(each, is_date) for each, is_date in rows.csv_exchanges(path))
        case "spans in OTLP/JSON":
            return map(Found, spans.exchanges(_otlp_parts(path)))
        case "a list in JSON":
            return _of_objects(_list_parts(path))
        case "a JSON object a line":
            return _of_objects((line, _object(line)) for line in lines_of(path))
    return _of_objects((line, _object(line)) for line in _pretty(path))


def _of_objects(objects: Iterator[tuple[Line, Mapping[str, Any]]]) -> Iterator[Found]:
    """Spans if the first object is one, else rows."""
    first = next(objects, None)
    if first is None:
        return
    are_spans, everything = spans.is_span(first[1]), chain((first,), objects)
    del first  # it may be large
    if are_spans:
        yield from map(Found, spans.exchanges(everything))
        return
    for line, value in everything:
        exchange, is_date = rows.json_exchange(line, value)
        yield Found(exchange, is_date)


def _object(line: Line) -> Mapping[str, Any]:
    try:
        value = msgspec.json.decode(line.text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise IncidentError(f"{line.place}: not JSON: {line.hidden(error)}; {line.fix}") from None
    if not isinstance(value, dict):
        raise IncidentError(f"{line.place}: expected a JSON object; {_KINDS}")
    return value


def _is_object(text: bytes) -> bool:
    """Whether a line is a whole JSON object, or the torn beginning of one that has begun to say something."""
    return text.endswith(b"}") or (len(text) > 1 and not text.rstrip().endswith((b"{", b"[", b",")))


def _otlp_parts(path: Path) -> Iterator[tuple[Line, Mapping[str, Any]]]:
    whole, content = document(path, _Otlp)
    for line in parts(path, content, whole.resource_spans):
        yield line, {"resourceSpans": [_object(line)]}


def _list_parts(path: Path) -> Iterator[tuple[Line, Mapping[str, Any]]]:
    whole, content = document(path, list[msgspec.Raw])
    return ((line, _object(line)) for line in parts(path, content, whole))


def _pretty(path: Path) -> Iterator[Line]:
    """Objects that are written over several lines, each with its braces at the beginning of a line."""
    held: list[bytes] = []
    number = 1
    for line in lines_of(path):
        if not held:
            number = line.number
        held.append(line.text)
        if line.text == b"}" and line.indent == 0:
            yield Line(path, number, b"\n".join(held))
            held = []
    if held:
        yield Line(path, number, b"\n".join(held), whole=False)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_HEAD)
    except OSError as error:
        raise IncidentError(f"{path}: cannot be read: {error.strerror}; name another file") from None
