"""A proxy of litellm, at its own port or under its own name.

Sources: the pages on response headers and errors of docs.litellm.ai, and `litellm.proxy` (`ProxyException`,
whose code is the status as a text; the rate limiter of keys).
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_EXCEEDED: Final = "Rate limit exceeded for api_key: wavetank."

CARD: Final = VendorCard(
    name="litellm",
    hosts=(
        "localhost:4000",
        "127.0.0.1:4000",
        "[::1]:4000",
        "0.0.0.0:4000",
        "litellm",
        "litellm-*",
        "litellm.*",
    ),
    key_variables=("LITELLM_API_KEY",),
    key_aliases=("LITELLM_PROXY_API_KEY", "LITELLM_MASTER_KEY"),
    dummy_key="sk-wavetank",
    base_paths=("", "/v1", "/openai", "/openai/v1"),
    behind={"/anthropic": "anthropic", "/gemini": "gemini", "/cohere": "cohere"},
    response_headers={"x-litellm-call-id": "{number}", "x-litellm-response-duration-ms": "{took}"},
    limit_headers={
        "requests": "x-ratelimit-{field}-requests",
        "tokens": "x-ratelimit-{field}-tokens",
    },
    limit_fields=("limit", "remaining"),
    error_body={
        "error": {"message": "{message}", "type": "{type}", "param": "{param}", "code": "{status-text}"}
    },
    errors={
        "rate-limit": (
            f"{_EXCEEDED} Limit type: requests. Current limit: {{limit}}, Remaining: 0.",
            "throttling_error",
        ),
        "tokens": (
            f"{_EXCEEDED} Limit type: tokens. Current limit: {{limit}}, Remaining: 0.",
            "throttling_error",
        ),
        "quota": ("ExceededBudget: the key is over its budget.", "budget_exceeded"),
        "billing": ("ExceededBudget: the key is over its budget.", "budget_exceeded"),
    },
    status_texts={
        401: ("Authentication Error, No api key passed in.", "auth_error"),
        404: ("Not Found", "not_found_error"),
    },
    models=("gpt-5", "claude-sonnet-5.5"),
    serves=(
        "chat",
        "completions",
        "responses",
        "embeddings",
        "rerank",
        "models",
        "moderations",
        "images",
        "image-edits",
        "transcriptions",
        "translations",
        "speech",
    ),
)
