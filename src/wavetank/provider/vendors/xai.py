"""xAI.

Sources: the page "Debugging Errors" and the API reference of docs.x.ai, and errors that its users have
quoted. An error is a code and a text. Only answers state limits, and without their resets.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_EXHAUSTED: Final = "Some resource has been exhausted"
_NO_CREDITS: Final = (
    "Your team has either used all available credits or reached its monthly spending limit. To continue "
    "making API requests, please purchase more credits or raise your spending limit."
)

CARD: Final = VendorCard(
    name="xai",
    hosts=("api.x.ai", "*.api.x.ai"),
    key_variables=("XAI_API_KEY",),
    dummy_key="xai-wavetank",
    statuses={"billing": 403},
    response_headers={"x-request-id": "{number}", "x-metrics-e2e-ms": "{took}"},
    limit_headers={
        "requests": "x-ratelimit-{field}-requests",
        "tokens": "x-ratelimit-{field}-tokens",
    },
    limit_fields=("limit", "remaining"),
    limits_on="answers",
    error_body={"code": "{code}", "error": "{message}"},
    errors={
        "rate-limit": ("Too many requests for {model}. Please try again later.", "", _EXHAUSTED),
        "quota": (_NO_CREDITS, "", _EXHAUSTED),
        "billing": (_NO_CREDITS, "", "permission-denied"),
        "overloaded": ("The service is currently unavailable.", "", "The service is currently unavailable"),
        "server": ("Internal error", "", "Internal error"),
    },
    status_texts={
        401: (
            "No authorization header or an invalid authorization token is provided.",
            "",
            "unauthenticated",
        ),
        404: (
            "The model {model} does not exist or your team does not have access to it.",
            "",
            "not-found",
        ),
    },
    models=("grok-4.3", "grok-code-fast-1"),
    serves=("chat", "completions", "responses", "embeddings", "models", "images"),
)
