"""Moderations in OpenAI's format: nothing is ever flagged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, final

from ...dialect_base.shared import Values, as_mapping, no_text_request
from ...dialect_base.wire_dialect import AnswerPart, UnstreamedEndpoint
from ...http import HttpRequest
from ...identity import text_of
from ...request import Request
from ...wire_formats import json_bytes
from .requests import missing, payload_of, wrong_type

_OF_TEXT: Final = (
    *("harassment", "harassment/threatening", "hate", "hate/threatening", "illicit", "illicit/violent"),
    "sexual/minors",
)
_OF_IMAGES_TOO: Final = (
    *("self-harm", "self-harm/instructions", "self-harm/intent", "sexual", "violence", "violence/graphic"),
)
OPENAI_CATEGORIES: Final = (*_OF_TEXT, *_OF_IMAGES_TOO)
_UNLIKELY: Final = 0.000001
"""The score of every category."""


@final
@dataclass(frozen=True, slots=True)
class Moderations(UnstreamedEndpoint):
    """`POST …/moderations`.

    Source: `CreateModerationResponse` of OpenAI's OpenAPI description. `categories` are the vendor's.
    `free`: nothing is paid for it, as at OpenAI (https://platform.openai.com/docs/guides/moderation).
    """

    path: re.Pattern[str]
    categories: tuple[str, ...] = OPENAI_CATEGORIES
    name: str = "moderations"
    free: bool = True

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        model = payload.get("model") or "omni-moderation-latest"
        if not isinstance(model, str):
            raise wrong_type("model", "a string")
        messages: list[Mapping[str, Any]] = [{"role": "user", "content": "\n".join(_inputs(payload))}]
        return no_text_request(request, payload, messages, model=model, free=self.free)

    def plain(self, page: AnswerPart) -> bytes:
        """The body of an answer: a result for each input."""
        results = [self._result(page) for _ in _inputs(page.request.payload)]
        body = {"id": f"modr-{page.letters(24)}", "model": page.request.model, "results": results}
        return json_bytes(body)

    def _result(self, page: AnswerPart) -> Values:
        result: Values = {
            "flagged": False,
            "categories": dict.fromkeys(self.categories, False),
            "category_scores": dict.fromkeys(self.categories, _UNLIKELY),
        }
        if self.categories is not OPENAI_CATEGORIES:
            del result["flagged"]
            return result
        looked_at = ("text", "image") if _has_images(page.request.payload) else ("text",)
        applied = dict.fromkeys(_OF_TEXT, ("text",)) | dict.fromkeys(_OF_IMAGES_TOO, looked_at)
        result["category_applied_input_types"] = applied
        return result


def _inputs(payload: Mapping[str, Any]) -> list[str]:
    """The texts to look at: one, several, or one of several parts, which may be images."""
    value = payload.get("input")
    if value is None:
        raise missing("input")
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise wrong_type("input", "a string or an array")
    if all(isinstance(one, str) for one in value):
        return value
    if not all(isinstance(one, dict) for one in value):
        raise wrong_type("input", "a string or an array of strings or objects")
    return [text_of(value)]


def _has_images(payload: Mapping[str, Any]) -> bool:
    value = payload.get("input")
    return isinstance(value, list) and any(as_mapping(one).get("type") == "image_url" for one in value)
