"""Perplexity.

Sources: the API reference and the page on errors of docs.perplexity.ai, which has the statuses; the rest is
as with OpenAI.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="perplexity",
    hosts=("api.perplexity.ai",),
    key_variables=("PERPLEXITY_API_KEY",),
    key_aliases=("PERPLEXITYAI_API_KEY", "PPLX_API_KEY"),
    dummy_key="pplx-wavetank",
    base_paths=("", "/v1"),
    error_body={"error": {"message": "{message}", "type": "{type}", "code": "{status}"}},
    models=("sonar", "sonar-pro"),
    serves=("chat", "responses", "embeddings", "models"),
)
