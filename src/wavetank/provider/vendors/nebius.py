"""Nebius Token Factory, formerly Nebius AI Studio.

Sources: docs.tokenfactory.nebius.com for the hosts, and the providers of pydantic-ai and litellm; the rest is
not documented and as with OpenAI.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="nebius",
    hosts=(
        "api.studio.nebius.ai",
        "api.studio.nebius.com",
        "api.tokenfactory.nebius.com",
        "api.tokenfactory.*.nebius.com",
    ),
    key_variables=("NEBIUS_API_KEY",),
    models=("meta-llama/Llama-3.3-70B-Instruct", "BAAI/bge-en-icl"),
    serves=("chat", "completions", "embeddings", "models", "images"),
)
