"""The Cohere dialect: chat in its second and first version, embeddings, reranking and models."""

from __future__ import annotations

import re
from typing import Any, Final

from ...dialect_base.wire_dialect import AnswerPart, WireDialect
from ...vendor_card import VendorCard
from ..openai.chat import Chat, Flavour, usage
from ..openai.models import Models
from ..openai.requests import one_copy
from ..openai.rerank import Ranked, Rerank
from .chat import LINES, ChatV2
from .chat_v1 import ChatV1
from .embed import Embed
from .vendor import CohereVendor


def _model(name: str, page: AnswerPart) -> dict[str, Any]:
    """A model (`GetModelResponse` of the SDK)."""
    return {
        "name": name,
        "endpoints": [endpoint if (endpoint := name.partition("-")[0]) in ("embed", "rerank") else "chat"],
        "finetuned": False,
        "context_length": 256000,
        "tokenizer_url": None,
        "default_endpoints": [],
    }


def _ranking(page: AnswerPart, found: list[Ranked]) -> dict[str, Any]:
    """The documents of a reranker (`RerankResponse`, `V2RerankResponse`), which costs a search."""
    shown = page.request.payload.get("return_documents") is True
    return {
        "id": page.digits(32),
        "results": [
            {"index": one.index, "relevance_score": one.score}
            | ({"document": {"text": one.text}} if shown else {})
            for one in found
        ],
        "meta": {"billed_units": {"search_units": 1}},
    }


_COMPATIBLE: Final = Flavour(
    ident=lambda page: page.digits(32),
    top=lambda page: {},
    choice={},
    message={},
    delta={},
    usage=usage,
    copies=one_copy,
)


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `api.cohere.com`."""
    return WireDialect(
        CohereVendor(card),
        (
            ChatV2(re.compile(r"/v2/chat")),
            ChatV2(re.compile(r"/v2/chat\?lines"), name="chat-lines", streams_as=LINES),
            ChatV1(re.compile(r"/v1/chat")),
            Embed(re.compile(r"/v(?P<version>[12])/embed")),
            Rerank(re.compile(r"/v[12]/rerank"), _ranking),
            Models(
                re.compile(r"/v1/models(?:/(?P<model>[^/]+))?"),
                ("command-a-03-2025", "embed-v4.0", "rerank-v3.5"),
                entry=_model,
                whole=lambda entries: {"models": entries, "next_page_token": None},
            ),
            Chat(re.compile(r"/compatibility/v1/chat/completions"), _COMPATIBLE, name="compatible-chat"),
        ),
    )
