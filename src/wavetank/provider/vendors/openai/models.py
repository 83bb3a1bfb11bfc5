"""Lists of models in OpenAI's format: the fake has every model, and lists one of each kind."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final
from urllib.parse import parse_qsl, unquote

from ...dialect_base.shared import InvalidRequest, empty_request
from ...dialect_base.wire_dialect import AnswerPart, UnstreamedEndpoint
from ...http import HttpRequest
from ...request import Request
from ...wire_formats import json_bytes

Writes = Callable[[str, AnswerPart], dict[str, Any]]
Query = Mapping[str, str]
Names = tuple[str, ...]
Pages = Callable[[Query, Names], tuple[Names, dict[str, Any]]]
"""Which of the names are on the page that a query asks for, and the fields that say how to go on."""


def model(name: str, page: AnswerPart) -> dict[str, Any]:
    """A model as OpenAI describes it (`Model` of its OpenAPI description)."""
    return {"id": name, "object": "model", "created": page.created, "owned_by": "wavetank"}


def listed(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """A list as OpenAI writes it."""
    return {"object": "list", "data": entries}


def one_page(query: Query, names: Names) -> tuple[Names, dict[str, Any]]:
    """All names: OpenAI's list has no pages."""
    return names, {}


def page_size(query: Query, field: str, default: int, *, most: int = 1000) -> int:
    """How many models a query asks for.

    Raises:
        InvalidRequest: it is no number from 1 to `most`.
    """
    text = query.get(field) or str(default)
    if not text.isdecimal() or not 1 <= int(text) <= most:
        raise InvalidRequest(400, f"{field}: must be a number from 1 to {most}", kind="invalid_request_error")
    return int(text)


@final
@dataclass(frozen=True, slots=True)
class Models(UnstreamedEndpoint):
    """`GET …/models`, and `GET …/models/{model}` where the path has a group `model`.

    `names` are listed; `entry` writes one of them, `whole` the list, and `pages` cuts it.
    """

    path: re.Pattern[str]
    names: Names
    entry: Writes = model
    whole: Callable[[list[dict[str, Any]]], dict[str, Any]] = listed
    pages: Pages = one_page
    name: str = "models"
    method: str = "GET"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        # Gemini takes a key in the query, and no key is kept.
        query = {name: value for name, value in parse_qsl(request.query) if name != "key"}
        self.pages(query, self.names)
        return empty_request(unquote(found.groupdict().get("model") or ""), query)

    def plain(self, page: AnswerPart) -> bytes:
        """The one model that is asked for, or the list."""
        if page.request.model:
            return json_bytes(self.entry(page.request.model, page))
        names, more = self.pages(page.request.payload, self.names)
        return json_bytes(self.whole([self.entry(name, page) for name in names]) | more)
