"""Cohere's embeddings: of texts, by type of number."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from ...dialect_base.shared import InvalidRequest, Values, as_list
from ...dialect_base.wire_dialect import AnswerPart, UnstreamedEndpoint
from ...http import HttpRequest
from ...request import Request
from ...wire_formats import json_bytes
from ..openai.embeddings import embedding_of, vector
from .chat import model_of, payload_of


@final
@dataclass(frozen=True, slots=True)
class Embed(UnstreamedEndpoint):
    """`POST /v2/embed` and `/v1/embed` (`EmbedByTypeResponse`, `EmbedFloatsResponse` of the SDK)."""

    path: re.Pattern[str]
    name: str = "embeddings"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        texts = payload.get("texts")
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            raise InvalidRequest(400, "invalid request: texts must be a list of strings")
        version = {"version": found["version"]}
        return embedding_of(request, {**payload, **version}, model_of(payload, "embed-v4.0"), texts)

    def plain(self, page: AnswerPart) -> bytes:
        """One vector for each text; the first version has bare lists unless types are asked for."""
        payload = page.request.payload
        vectors = [vector(text) for text in payload["texts"]]
        bare = payload["version"] == "1" and not payload.get("embedding_types")
        tokens = {"input_tokens": page.answer.prompt_tokens}
        return json_bytes(
            {
                "response_type": "embeddings_floats" if bare else "embeddings_by_type",
                "id": page.digits(32),
                "embeddings": vectors if bare else _by_type(payload, vectors),
                "texts": payload["texts"],
                "meta": {"api_version": {"version": payload["version"]}, "billed_units": tokens},
            }
        )


def _by_type(payload: Mapping[str, Any], vectors: list[list[float]]) -> Values:
    """The vectors as floats and, if asked for, as bytes."""
    found: Values = {}
    kinds = as_list(payload.get("embedding_types")) or ["float"]
    if "float" in kinds:
        found["float"] = vectors
    if "int8" in kinds:
        found["int8"] = [[round(number * 127) for number in one] for one in vectors]
    return found
