"""Jina AI: embeddings, rerankers and DeepSearch.

Sources: api.jina.ai/redoc, and the provider of litellm; what is not documented is as with OpenAI.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="jina",
    hosts=("api.jina.ai", "deepsearch.jina.ai"),
    key_variables=("JINA_API_KEY",),
    key_aliases=("JINA_AI_API_KEY",),
    statuses={"billing": 402, "quota": 402},
    error_body={"detail": "{message}"},
    models=("jina-embeddings-v4", "jina-reranker-v3"),
    serves=("chat", "embeddings", "rerank", "models"),
)
