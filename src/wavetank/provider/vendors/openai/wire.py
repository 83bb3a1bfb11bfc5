"""The OpenAI dialect: chat completions, responses, completions, embeddings, models, images and sound."""

from __future__ import annotations

import re

from ...dialect_base.wire_dialect import WireDialect
from ...vendor_card import VendorCard
from .chat import Chat
from .completions import Completions
from .embeddings import Embeddings
from .images import ImageStore
from .media import media
from .models import Models
from .responses import InputTokens, Responses
from .vendor import OpenAIVendor


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `api.openai.com`."""
    return WireDialect(
        OpenAIVendor(card),
        (
            Chat(re.compile(r"/v1/chat/completions")),
            Responses(re.compile(r"/v1/responses")),
            InputTokens(re.compile(r"/v1/responses/input_tokens")),
            Completions(re.compile(r"/v1/completions")),
            Embeddings(re.compile(r"/v1/embeddings")),
            Models(
                re.compile(r"/v1/models(?:/(?P<model>[^/]+))?"),
                ("gpt-5", "gpt-5-mini", "text-embedding-3-small"),
            ),
            *media("/v1"),
            ImageStore(),
        ),
    )
