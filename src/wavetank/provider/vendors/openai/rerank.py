"""Rerankers: documents in the order of their scores, which depend only on the texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, final

import msgspec

from ...dialect_base.shared import Message, Values, as_mapping, no_text_request, whole_number
from ...dialect_base.wire_dialect import AnswerPart, UnstreamedEndpoint
from ...http import HttpRequest
from ...request import Request
from ...wire_formats import json_bytes
from .requests import missing, model_of, payload_of, wrong_type

_SCALE: Final = 1 << 32


@final
class Ranked(msgspec.Struct, frozen=True):
    """A document, where it was in the request, and its score from 0 to 1."""

    index: int
    text: str
    score: float


def score(query: str, text: str) -> float:
    """How well a text fits a query: a number from 0 to 1 that depends on both, with six decimals."""
    digest = blake2b(f"{query}\x1f{text}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return round(int.from_bytes(digest, "little") / _SCALE, 6)


def ranked(payload: Mapping[str, Any]) -> list[Ranked]:
    """The documents of a good request, the best first; `top_n` or `top_k` cuts the list."""
    query, texts = str(payload["query"]), documents_of(payload)
    found = [Ranked(index, text, score(query, text)) for index, text in enumerate(texts)]
    found.sort(key=lambda one: (-one.score, one.index))
    return found[: _most(payload) or len(found)]


def documents_of(payload: Mapping[str, Any]) -> list[str]:
    """The texts of the documents, which are strings or objects with a `text`.

    Raises:
        InvalidRequest: there is none, or it is of another type.
    """
    documents = payload.get("documents")
    if documents is None:
        raise missing("documents")
    if not isinstance(documents, list) or not documents:
        raise wrong_type("documents", "an array of at least one string")
    texts = [one if isinstance(one, str) else as_mapping(one).get("text") for one in documents]
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise wrong_type(f"documents[{index}]", "a string, or an object with the string 'text'")
    return [str(text) for text in texts]


def _most(payload: Mapping[str, Any]) -> int | None:
    """How many documents are wanted, under the name that is there."""
    for name in ("top_n", "top_k"):
        value = payload.get(name)
        if value is not None:
            if not whole_number(value):
                raise wrong_type(name, "an integer of at least 1")
            return int(value)
    return None


def results(page: AnswerPart, found: list[Ranked]) -> Values:
    """The body that most have in common; a document is an object with its text."""
    shown = page.request.payload.get("return_documents") is not False
    return {
        "id": page.digits(32),
        "object": "rerank",
        "model": page.request.model,
        "results": [_entry(one, {"text": one.text} if shown else None) for one in found],
        "usage": _usage(page),
    }


def data(page: AnswerPart, found: list[Ranked]) -> Values:
    """The body with the list under `data`; a document is its text, and comes only if it is asked for."""
    shown = page.request.payload.get("return_documents") is True
    return {
        "object": "list",
        "data": [_entry(one, one.text if shown else None) for one in found],
        "model": page.request.model,
        "usage": _usage(page),
    }


def _entry(one: Ranked, document: object) -> Values:
    entry: Values = {"index": one.index, "relevance_score": one.score}
    return entry if document is None else entry | {"document": document}


def _usage(page: AnswerPart) -> Values:
    tokens = page.answer.prompt_tokens
    return {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}


@final
@dataclass(frozen=True, slots=True)
class Rerank(UnstreamedEndpoint):
    """`POST …/rerank`; `write` makes the body.

    Sources: the types of Together's SDK (`RerankCreateResponse`), of Voyage AI's (`RerankingObject`)
    and of Cohere's (`V2RerankResponse`).
    """

    path: re.Pattern[str]
    write: Callable[[AnswerPart, list[Ranked]], Values] = results
    name: str = "rerank"

    def read(self, request: HttpRequest, found: re.Match[str]) -> Request:
        """Read a request; see `Endpoint.read`."""
        payload = payload_of(request)
        model, query = model_of(payload), payload.get("query")
        if query is None:
            raise missing("query")
        if not isinstance(query, str):
            raise wrong_type("query", "a string")
        texts = documents_of(payload)
        _most(payload)
        asking: list[Message] = [{"role": "user", "content": query}]
        return no_text_request(request, payload, asking, model=model, system="\n".join(texts))

    def plain(self, page: AnswerPart) -> bytes:
        """The body of an answer."""
        return json_bytes(self.write(page, ranked(page.request.payload)))
