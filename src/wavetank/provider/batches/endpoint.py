"""Endpoints for what a provider keeps, and lines of batches as requests."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, final

from ..dialect_base.shared import JSON, InvalidRequest, as_mapping, empty_request
from ..dialect_base.wire_dialect import AnswerPart, Endpoint, UnstreamedEndpoint
from ..http import Headers, HttpRequest
from ..model import Made
from ..request import Action, Request
from ..wire_formats import json_bytes
from .batch import Line

Does = Callable[[HttpRequest, "re.Match[str]"], Action]
"""Reads a request, of which the path is matched, and returns what it does; raises `InvalidRequest`."""

_ANYTHING: Final = re.compile("(?s:.*)")


@final
@dataclass(frozen=True, slots=True)
class KeptEndpoint(UnstreamedEndpoint):
    """An endpoint that reads or changes what the provider keeps.

    `does` reads the request and says what to do when it is answered.
    """

    name: str
    path: re.Pattern[str]
    does: Does
    method: str = "POST"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        action = self.does(request, found)
        read = empty_request()
        read.action, read.target = action, f"{request.method} {request.path}"
        return read

    def content_type(self, page: AnswerPart) -> str:
        """The type of what the action made."""
        return page.answer.made.content_type if page.answer.made is not None else JSON

    def headers(self, page: AnswerPart) -> Headers:
        """The headers of what the action made."""
        return page.answer.made.headers if page.answer.made is not None else ()


def made(value: Any, **more: Any) -> Made:
    """An answer of JSON; `more` are other fields of `Made`."""
    return Made(json_bytes(value), **more)


def line_of(
    endpoint: Endpoint,
    http: HttpRequest,
    path: str,
    body: Any,
    custom_id: str | None,
    *,
    facts: Any = None,
) -> Line:
    """One line of a batch, which asks an endpoint by its `path`; a line that it cannot read will fail."""
    found = endpoint.path.fullmatch(path) or _ANYTHING.fullmatch(path)
    assert found is not None
    inner = HttpRequest(method="POST", host=http.host, path=path, headers={}, body=json_bytes(body))
    invalid = None
    try:
        request = endpoint.read(inner, found)
    except InvalidRequest as problem:
        invalid, request = problem, empty_request(str(as_mapping(body).get("model") or ""))
    request.stream = False
    request.generates = not isinstance(endpoint, UnstreamedEndpoint)
    request.endpoint, request.path, request.host = endpoint.name, path, http.host
    request.custom_id = custom_id
    return Line(request=request, endpoint=endpoint, custom_id=custom_id, invalid=invalid, facts=facts)
