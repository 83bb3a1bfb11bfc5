"""NVIDIA's API catalogue (NIM).

Sources: docs.api.nvidia.com, and answers that its users have measured: no limits are stated, no Retry-After
comes with a 429, and a key that is wrong is refused with 403.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="nvidia",
    hosts=("integrate.api.nvidia.com",),
    key_variables=("NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"),
    dummy_key="nvapi-wavetank",
    response_headers={"nvcf-reqid": "{number}"},
    error_body={"status": "{status}", "title": "{title}", "detail": "{message}"},
    errors={"rate-limit": ("",)},
    status_texts={
        401: ("Authentication failed",),
        403: ("Authorization failed",),
        404: ("Not found for account",),
    },
    models=("meta/llama-3.3-70b-instruct", "nvidia/nv-embedqa-e5-v5"),
    serves=("chat", "completions", "embeddings", "models"),
)
