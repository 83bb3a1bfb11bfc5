"""HAR files, as browsers and proxies save them (HTTP Archive 1.2)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec

from ..clock import MILLISECOND
from ..provider.vendor_registry import looks, vendor_at
from .documents import document, parts
from .exchange import Exchange, IncidentError, is_mistake, model_name, refuses
from .lines import Line
from .values import instant, length, refusal_error, stated

_LONGEST_REFUSAL: Final = 64 * 1024
"""Bytes of the body of a refusal that are looked at."""


class _Header(msgspec.Struct):
    name: str = ""
    value: str = ""


class _Text(msgspec.Struct):
    text: msgspec.Raw = msgspec.Raw(b"null")


class _Request(msgspec.Struct, rename="camel"):
    method: str = ""
    url: str = ""
    post_data: _Text | None = None


class _Response(msgspec.Struct):
    status: int = 0
    headers: list[_Header] = []
    content: _Text | None = None


class _Entry(msgspec.Struct, rename="camel"):
    started_date_time: str | None = None
    time: float | None = None
    request: _Request = msgspec.field(default_factory=_Request)
    response: _Response = msgspec.field(default_factory=_Response)


class _Log(msgspec.Struct):
    entries: list[msgspec.Raw]


class _Har(msgspec.Struct):
    log: _Log


class _Body(msgspec.Struct):
    model: str = ""


def exchanges(path: Path) -> Iterator[Exchange | None]:
    """The requests to LLM providers in a HAR file; `None` stands for one that is none.

    Raises:
        IncidentError: the file is torn or no HAR, or an entry has no time; names the line.
    """
    har, content = document(path, _Har)
    for line in parts(path, content, har.log.entries):
        try:
            entry = msgspec.json.decode(line.text, type=_Entry)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise IncidentError(f"{line.place}: no entry of a HAR file: {line.hidden(error)}") from None
        yield _exchange(line, entry)


def _exchange(line: Line, entry: _Entry) -> Exchange | None:
    model = _model(entry.request)
    if model is None:
        return None
    started = instant(entry.started_date_time)
    if started is None or not started.is_date:
        raise IncidentError(
            f"{line.place}: this entry has no time: startedDateTime is missing, or is no date; "
            "remove the entry, or save the file once more"
        )
    status = entry.response.status or None
    lasted = length(entry.time, MILLISECOND)
    told = stated(((each.name, each.value) for each in entry.response.headers), started.ns + (lasted or 0))
    refused = refuses(status)
    return Exchange(
        at=started.ns,
        status=status,
        refused=refused,
        own_mistake=is_mistake(status),
        retry_after=told.retry_after,
        form=told.form,
        error=refusal_error(_words(entry.response.content)) if refused else None,
        lasted=lasted,
        model=model,
        limit=told.limit,
    )


def _model(request: _Request) -> str | None:
    """The model that is asked, perhaps empty; `None` for a request that goes to no LLM."""
    if request.method.upper() != "POST":
        return None
    named = _Body()
    if request.post_data is not None:
        try:
            text = msgspec.json.decode(request.post_data.text, type=str | None)
            named = msgspec.json.decode(text or "{}", type=_Body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            named = _Body()
    if named.model:
        return model_name(named.model)
    try:
        url = urlsplit(request.url)
        host, port = url.hostname or "", url.port
    except ValueError:
        return None
    known = vendor_at(host, port) is not None or any(url.path.startswith(path) for path, _ in looks().paths)
    return "" if known else None


def _words(content: _Text | None) -> str:
    raw = bytes(content.text)[:_LONGEST_REFUSAL] if content is not None else b""
    return raw.decode(errors="replace")
