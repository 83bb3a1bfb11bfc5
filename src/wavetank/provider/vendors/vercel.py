"""Vercel's AI Gateway.

Sources: the pages on the OpenAI-compatible API and on rate limits of vercel.com/docs/ai-gateway: no limits
are stated, and a 429 may be that of a provider behind it.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="vercel",
    hosts=("ai-gateway.vercel.sh",),
    key_variables=("AI_GATEWAY_API_KEY",),
    key_aliases=("VERCEL_AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"),
    statuses={"billing": 402, "quota": 402},
    response_headers={"x-vercel-id": "{number}"},
    reasoning="reasoning",
    models=("openai/gpt-5", "anthropic/claude-sonnet-5.5"),
    serves=("chat", "responses", "embeddings", "models"),
)
