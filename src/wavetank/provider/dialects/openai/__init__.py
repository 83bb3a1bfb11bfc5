"""The OpenAI dialect: chat completions, responses, completions, embeddings and models."""

from __future__ import annotations

import re
from typing import Final

from ..wire_dialect import WireDialect
from .chat import Chat
from .completions import Completions
from .embeddings import Embeddings
from .models import Models
from .responses import InputTokens, Responses
from .vendor import OpenAIVendor

OPENAI: Final = WireDialect(
    OpenAIVendor(),
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
    ),
)
"""`api.openai.com`."""

__all__ = ["OPENAI"]
