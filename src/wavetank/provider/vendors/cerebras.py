"""Cerebras.

Sources: the pages on rate limits and on errors of inference-docs.cerebras.ai, and answers that its users have
measured. Its SDK (`cerebras.cloud.sdk`) begins with a request to `/v1/tcp_warming`, and wants a
`system_fingerprint` and a type in each piece of a tool call. Only answers state limits.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_TOO_MANY: Final = "too_many_requests_error"

CARD: Final = VendorCard(
    name="cerebras",
    hosts=("api.cerebras.ai",),
    key_variables=("CEREBRAS_API_KEY",),
    dummy_key="csk-wavetank",
    limit_headers={
        "requests": "x-ratelimit-{field}-requests-minute",
        "tokens": "x-ratelimit-{field}-tokens-minute",
        "requests_per_day": "x-ratelimit-{field}-requests-day",
        "tokens_per_day": "x-ratelimit-{field}-tokens-day",
    },
    reset="decimal-seconds",
    limits_on="answers",
    error_body={"message": "{message}", "type": "{type}", "param": "{param}", "code": "{code}"},
    stream_error={"error": "{error}", "status_code": "{status}"},
    errors={
        "rate-limit": (
            "Requests per {unit} limit exceeded - too many requests sent.",
            _TOO_MANY,
            "request_quota_exceeded",
            "quota",
        ),
        "tokens": (
            "Tokens per {unit} limit exceeded - too many tokens processed.",
            _TOO_MANY,
            "token_quota_exceeded",
            "quota",
        ),
        "throttle": (
            "We're experiencing high traffic right now! Please try again soon.",
            _TOO_MANY,
            "queue_exceeded",
            "queue",
        ),
    },
    status_texts={
        401: ("Wrong API Key", "invalid_request_error", "wrong_api_key", "api_key"),
        404: (
            "Model {model} does not exist or you do not have access to it.",
            "not_found_error",
            "model_not_found",
            "model",
        ),
    },
    reasoning="reasoning",
    models=("gpt-oss-120b", "llama3.1-8b"),
    serves=("chat", "completions", "models"),
    pings=("/v1/tcp_warming",),
    answer_fields={"body": {"system_fingerprint": "fp_wavetank"}},
    whole_calls=True,
)
