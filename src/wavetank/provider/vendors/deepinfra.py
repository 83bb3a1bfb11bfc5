"""DeepInfra.

Sources: the pages on the OpenAI API and on rate limits of docs.deepinfra.com. It states no limits.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_BUSY: Final = ("Model busy, retry later", "invalid_request_error", "engine_overloaded")

CARD: Final = VendorCard(
    name="deepinfra",
    hosts=("api.deepinfra.com",),
    key_variables=("DEEPINFRA_API_KEY",),
    key_aliases=("DEEPINFRA_TOKEN", "DEEPINFRA_API_TOKEN"),
    base_paths=("/v1/openai", "/v1"),
    statuses={"overloaded": 429, "billing": 402, "quota": 402},
    errors={
        "rate-limit": ("Rate limited", "invalid_request_error", "rate_limit_exceeded"),
        "overloaded": _BUSY,
        "throttle": _BUSY,
    },
    models=("meta-llama/Llama-3.3-70B-Instruct", "BAAI/bge-m3"),
    serves=(
        "chat",
        "completions",
        "embeddings",
        "models",
        "images",
        "transcriptions",
        "translations",
        "speech",
    ),
)
