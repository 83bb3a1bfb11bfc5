"""Embeddings in OpenAI's format: unit vectors that depend only on the text."""

from __future__ import annotations

import re
import struct
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, final

from ...dialect_base.shared import no_text_request, whole_number
from ...dialect_base.wire_dialect import AnswerPart, UnstreamedEndpoint
from ...http import HttpRequest
from ...request import Request
from ...wire_formats import json_bytes
from .requests import missing, model_of, payload_of, wrong_type

DIMENSIONS: Final = 8
"""The length of a vector where the request names none."""
_MOST: Final = 4096


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """A vector of length 1 that depends on the text; equal texts have equal vectors."""
    numbers: list[int] = []
    while len(numbers) < dimensions:
        digest = blake2b(f"{len(numbers)}:{text}".encode("utf-8", "surrogatepass")).digest()
        numbers += (int.from_bytes(digest[at : at + 4], "little") - (1 << 31) for at in range(0, 64, 4))
    numbers = numbers[:dimensions]
    length = sum(number * number for number in numbers) ** 0.5 or 1.0
    return [number / length for number in numbers]


def packed(numbers: list[float]) -> str:
    """A vector as `encoding_format` `base64` has it: 32-bit floats, little-endian."""
    return b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def texts_of(value: object, name: str = "input") -> list[str]:
    """The texts to embed: one, several, or lists of tokens.

    Raises:
        InvalidRequest: there is none, or it is of another type.
    """
    if value is None:
        raise missing(name)
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise wrong_type(name, "a string or an array of strings")
    if all(isinstance(one, int) for one in value):
        return [repr(value)]
    if not all(isinstance(one, str | list) for one in value):
        raise wrong_type(name, "a string or an array of strings")
    return [one if isinstance(one, str) else repr(one) for one in value]


def embedding_of(request: HttpRequest, payload: Mapping[str, Any], model: str, texts: list[str]) -> Request:
    """A request that asks for vectors and no words."""
    messages: list[Mapping[str, Any]] = [{"role": "user", "content": "\n".join(texts)}]
    return no_text_request(request, payload, messages, model=model)


@final
@dataclass(frozen=True, slots=True)
class Embeddings(UnstreamedEndpoint):
    """`POST …/embeddings`.

    Source: `CreateEmbeddingResponse` of OpenAI's OpenAPI description. Its SDK asks for
    `base64` unless the request says otherwise.
    """

    path: re.Pattern[str]
    extra: Callable[[AnswerPart], dict[str, Any]] = lambda page: {}
    name: str = "embeddings"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        model = found.groupdict().get("model") or model_of(payload)
        dimensions = payload.get("dimensions")
        if dimensions is not None and not (whole_number(dimensions) and dimensions <= _MOST):
            raise wrong_type("dimensions", f"an integer from 1 to {_MOST}")
        return embedding_of(request, payload, model, texts_of(payload.get("input")))

    def plain(self, page: AnswerPart) -> bytes:
        """The body of an answer."""
        payload = page.request.payload
        write: Callable[[list[float]], Any] = packed if payload.get("encoding_format") == "base64" else list
        texts = texts_of(payload.get("input"))
        data = [
            {"object": "embedding", "index": index, "embedding": write(vector(text, _dimensions(payload)))}
            for index, text in enumerate(texts)
        ]
        tokens = page.answer.prompt_tokens
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        body = {"object": "list", "data": data, "model": page.request.model, "usage": usage}
        return json_bytes(body | self.extra(page))


def _dimensions(payload: Mapping[str, Any]) -> int:
    wanted = payload.get("dimensions")
    return wanted if isinstance(wanted, int) else DIMENSIONS
