"""GitHub Models.

Sources: docs.github.com/rest/models, and answers that its users have measured. A refusal names the limit
and how many seconds it still holds. Its key is GITHUB_TOKEN, which other tools read, too: it is left alone.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_WAIT: Final = "Please wait {wait} seconds before retrying."

CARD: Final = VendorCard(
    name="github",
    hosts=("models.github.ai", "models.inference.ai.azure.com"),
    base_paths=("/inference", "/orgs/*/inference", ""),
    limit_headers={
        "requests": "x-ratelimit-{field}-requests",
        "tokens": "x-ratelimit-{field}-tokens",
    },
    limit_fields=("limit", "remaining"),
    refusal_headers={
        "x-ms-error-code": "{code}",
        "x-ratelimit-type": "UserByModelByMinute",
        "x-ratelimit-timeremaining": "{wait}",
    },
    error_body={"error": {"code": "{code}", "message": "{message}", "details": "{message}"}},
    errors={
        "rate-limit": (
            f"Rate limit of {{limit}} per 60s exceeded for UserByModelByMinute. {_WAIT}",
            "",
            "RateLimitReached",
        ),
        "requests-per-day": (
            f"Rate limit of {{limit}} per 86400s exceeded for UserByModelByDay. {_WAIT}",
            "",
            "RateLimitReached",
        ),
    },
    status_texts={
        401: ("Bad credentials", "", "unauthorized"),
        404: ("Unknown model: {model}", "", "unknown_model"),
    },
    models=("openai/gpt-5-mini", "meta/llama-3.3-70b-instruct"),
    serves=("chat", "embeddings", "models"),
)
