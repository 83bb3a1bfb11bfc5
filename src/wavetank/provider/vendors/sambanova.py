"""SambaNova Cloud.

Sources: the pages on API error codes and on rate limits of docs.sambanova.ai, and errors that its users
have quoted. The form of a reset is not documented: here it is the Unix time.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="sambanova",
    hosts=("api.sambanova.ai",),
    key_variables=("SAMBANOVA_API_KEY",),
    limit_headers={
        "requests": "x-ratelimit-{field}-requests",
        "requests_per_day": "x-ratelimit-{field}-requests-day",
    },
    reset="unix",
    error_body={
        "error": {"message": "{message}", "type": "{type}", "param": "{param}", "code": "{code}"},
        "request_id": "{number}",
    },
    errors={"rate-limit": ("Rate limit exceeded", "rate_limit_exceeded", "rate_limit_exceeded")},
    status_texts={
        401: (
            "You didn't provide an API key. You need to provide your API key in an Authorization header "
            "using Bearer auth (i.e. Authorization: Bearer YOUR_KEY), or via the x-api-key header.",
            "authentication_error",
        ),
        404: ("Model not found", "invalid_request_error", "model_not_found", "model"),
    },
    models=("Meta-Llama-3.3-70B-Instruct", "gpt-oss-120b"),
    serves=("chat", "completions", "embeddings", "models", "transcriptions", "translations"),
)
