"""Voyage AI: embeddings and rerankers.

Sources: the API reference and the page on error codes of docs.voyageai.com, and its SDK (`voyageai.error`),
which reads an error's `detail`. It states no limits.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="voyage",
    hosts=("api.voyageai.com", "ai.mongodb.com"),
    key_variables=("VOYAGE_API_KEY",),
    dummy_key="pa-wavetank",
    response_headers={"request-id": "{number}"},
    error_body={"detail": "{message}"},
    errors={
        "rate-limit": (
            "You have exceeded the rate limit of {limit} for your organization. Please pace your requests.",
        ),
    },
    status_texts={401: ("Provided API key is invalid.",)},
    models=("voyage-3.5", "rerank-2.5"),
    serves=("embeddings", "rerank", "models"),
    rerank_list="data",
)
