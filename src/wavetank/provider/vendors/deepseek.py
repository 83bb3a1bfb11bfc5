"""DeepSeek.

Sources: the pages "Your First API Call", "Error Codes" and "Rate Limit" of api-docs.deepseek.com, and errors
that its users have quoted. It states no limits, and keeps streams alive with comments.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_NO_BALANCE: Final = ("Insufficient Balance", "unknown_error", "invalid_request_error")

CARD: Final = VendorCard(
    name="deepseek",
    hosts=("api.deepseek.com",),
    key_variables=("DEEPSEEK_API_KEY",),
    base_paths=("", "/v1", "/beta"),
    statuses={"billing": 402, "quota": 402},
    keep_alive=b": keep-alive\n\n",
    response_headers={"x-ds-trace-id": "{number}"},
    errors={
        "rate-limit": ("Rate limit reached", "rate_limit_error", "invalid_request_error"),
        "quota": _NO_BALANCE,
        "billing": _NO_BALANCE,
    },
    status_texts={
        401: (
            "Authentication Fails (auth header format should be Bearer sk-...)",
            "authentication_error",
            "invalid_request_error",
        ),
    },
    reasoners=("deepseek-reasoner",),
    models=("deepseek-chat", "deepseek-reasoner"),
    serves=("chat", "completions", "models"),
)
