"""DeepSeek.

Source: the pages "Your First API Call", "Error Codes" and "Rate Limit" of api-docs.deepseek.com; it sends
no limit headers, and keeps streams alive with comments.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="deepseek",
    hosts=("api.deepseek.com",),
    key_variables=("DEEPSEEK_API_KEY",),
    base_paths=("", "/v1", "/beta"),
    statuses={"billing": 402},
    keep_alive=b": keep-alive\n\n",
    errors={"billing": ("Insufficient Balance", "unknown_error", "invalid_request_error")},
    reasoners=("deepseek-reasoner",),
    models=("deepseek-chat", "deepseek-reasoner"),
    serves=("chat", "completions", "models"),
)
