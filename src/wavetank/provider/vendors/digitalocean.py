"""DigitalOcean's serverless inference.

Source: the page "Quota-Specific Response Headers For Serverless Inference" of docs.digitalocean.com; the
rest is as with OpenAI.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="digitalocean",
    hosts=("inference.do-ai.run",),
    key_variables=("DIGITALOCEAN_INFERENCE_KEY",),
    key_aliases=("GRADIENT_MODEL_ACCESS_KEY",),
    limit_headers={
        "requests": "x-ratelimit-{field}-requests",
        "tokens": "x-ratelimit-{field}-tokens-per-minute",
        "tokens_per_day": "x-ratelimit-{field}-tokens-per-day",
    },
    reset="unix",
    serves=("chat", "responses", "embeddings", "models"),
)
