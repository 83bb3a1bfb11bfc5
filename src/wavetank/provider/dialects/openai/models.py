"""Lists of models in OpenAI's format: the fake has every model, and lists one of each kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final
from urllib.parse import unquote

from ...http import HttpRequest
from ...wording import json_bytes
from ..shared import Asked, nothing_asked
from ..spoken import InOnePiece, Page

Writes = Callable[[str, Page], dict[str, Any]]


def model(name: str, page: Page) -> dict[str, Any]:
    """A model as OpenAI describes it (`Model` of its OpenAPI description)."""
    return {"id": name, "object": "model", "created": page.created, "owned_by": "wavetank"}


def listed(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """A list as OpenAI writes it."""
    return {"object": "list", "data": entries}


@final
@dataclass(frozen=True, slots=True)
class Models(InOnePiece):
    """`GET …/models`, and `GET …/models/{model}` where the path has a group `model`.

    `names` are listed; `entry` writes one of them and `whole` the list.
    """

    path: re.Pattern[str]
    names: tuple[str, ...]
    entry: Writes = model
    whole: Callable[[list[dict[str, Any]]], dict[str, Any]] = listed
    name: str = "models"
    method: str = "GET"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Asked:
        """Read a request; see `Endpoint.read`."""
        return nothing_asked(unquote(found.groupdict().get("model") or ""))

    def plain(self, page: Page) -> bytes:
        """The one model that is asked for, or the list."""
        if page.decoded.model:
            return json_bytes(self.entry(page.decoded.model, page))
        return json_bytes(self.whole([self.entry(name, page) for name in self.names]))
