"""The OpenAI dialect: text, embeddings, models, files, batches, images and sound."""

from __future__ import annotations

import re

from ...dialect_base.wire_dialect import Endpoint, WireDialect
from ...vendor_card import VendorCard
from .background import response_endpoints
from .batches import OpenAIBatches
from .chat import Chat
from .completions import Completions
from .embeddings import Embeddings
from .images import ImageStore
from .media import media
from .models import Models
from .responses import InputTokens, Responses
from .uploads import Files
from .vendor import OpenAIVendor


def wire(card: VendorCard) -> WireDialect:
    """The dialect: `api.openai.com`."""
    vendor = OpenAIVendor(card)
    generating: dict[str, Endpoint] = {
        "/v1/chat/completions": Chat(re.compile(r"/v1/chat/completions")),
        "/v1/responses": Responses(re.compile(r"/v1/responses"), background=True),
        "/v1/completions": Completions(re.compile(r"/v1/completions")),
        "/v1/embeddings": Embeddings(re.compile(r"/v1/embeddings")),
    }
    return WireDialect(
        vendor,
        (
            *generating.values(),
            InputTokens(re.compile(r"/v1/responses/input_tokens")),
            *Files().endpoints("/v1"),
            *OpenAIBatches(vendor, generating).endpoints("/v1"),
            *response_endpoints("/v1", vendor),
            Models(
                re.compile(r"/v1/models(?:/(?P<model>[^/]+))?"),
                ("gpt-5", "gpt-5-mini", "text-embedding-3-small"),
            ),
            *media("/v1"),
            ImageStore(),
        ),
    )
