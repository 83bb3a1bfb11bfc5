"""Fireworks AI.

Sources: the pages on inference errors and on serverless rate limits of docs.fireworks.ai, its SDK, and
errors that its users have quoted. Limits are stated without their resets.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_SUSPENDED: Final = ("Account is suspended", "invalid_request_error", "PRECONDITION_FAILED")

CARD: Final = VendorCard(
    name="fireworks",
    hosts=("api.fireworks.ai",),
    key_variables=("FIREWORKS_API_KEY",),
    key_aliases=("FIREWORKS_AI_API_KEY",),
    base_paths=("/inference/v1",),
    statuses={"billing": 412, "quota": 412},
    limit_headers={
        "requests": "x-ratelimit-{field}-requests",
        "input_tokens": "x-ratelimit-{field}-tokens-prompt",
        "output_tokens": "x-ratelimit-{field}-tokens-generated",
    },
    limit_fields=("limit", "remaining"),
    error_body={"error": {"object": "error", "type": "{type}", "code": "{code}", "message": "{message}"}},
    errors={
        "rate-limit": ("rate limit exceeded, please try again later", "invalid_request_error"),
        "quota": _SUSPENDED,
        "billing": _SUSPENDED,
        "overloaded": ("Service overloaded, please try again later", "server_error"),
    },
    status_texts={
        401: ("The API key you provided is invalid.", "invalid_request_error", "UNAUTHORIZED"),
        404: ("Model not found, inaccessible, and/or not deployed", "invalid_request_error", "NOT_FOUND"),
    },
    models=("accounts/fireworks/models/gpt-oss-120b",),
    serves=("chat", "completions", "responses", "embeddings", "rerank", "models"),
    rerank_list="data",
)
