"""Cloudflare: Workers AI, and AI Gateway with the vendors behind it.

Sources: the pages on the OpenAI-compatible endpoints of developers.cloudflare.com/workers-ai and
/ai-gateway, and errors that its users have quoted. An error is Cloudflare's envelope; no limits are stated.
Its key is CLOUDFLARE_API_TOKEN, which other tools read, too: it is left alone.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_CAPACITY: Final = ("Capacity temporarily exceeded, please try again.", "", "3040")
_NEURONS: Final = (
    "you have used up your daily free allocation of 10,000 neurons, please upgrade to Cloudflare's Workers "
    "Paid plan if you would like to continue usage.",
    "",
    "4006",
)

CARD: Final = VendorCard(
    name="cloudflare",
    hosts=("api.cloudflare.com", "gateway.ai.cloudflare.com"),
    # An account; a gateway of an account.
    base_paths=("/client/v4/accounts/*/ai/v1", "/v1/*/*/compat", "/v1/*/*/workers-ai/v1"),
    behind={
        "/v1/*/*/anthropic": "anthropic",
        "/v1/*/*/azure-openai/*": "azure",
        "/v1/*/*/cerebras": "cerebras",
        "/v1/*/*/cohere": "cohere",
        "/v1/*/*/deepseek": "deepseek",
        "/v1/*/*/google-ai-studio": "gemini",
        "/v1/*/*/google-vertex-ai": "vertex",
        "/v1/*/*/grok": "xai",
        "/v1/*/*/groq": "groq",
        "/v1/*/*/mistral": "mistral",
        "/v1/*/*/openai": "openai",
        "/v1/*/*/openrouter": "openrouter",
        "/v1/*/*/perplexity-ai": "perplexity",
    },
    statuses={"overloaded": 429, "quota": 429, "billing": 429},
    response_headers={"cf-ray": "{number}"},
    error_body={
        "success": False,
        "errors": [{"code": "{code-number}", "message": "{message}"}],
        "messages": [],
        "result": None,
    },
    errors={
        "rate-limit": _CAPACITY,
        "throttle": _CAPACITY,
        "overloaded": _CAPACITY,
        "quota": _NEURONS,
        "billing": _NEURONS,
        "server": ("Internal server error", "", "3043"),
    },
    status_texts={401: ("Authentication error", "", "10000"), 404: ("No route for that URI", "", "7000")},
    models=("@cf/meta/llama-3.3-70b-instruct-fp8-fast", "@cf/baai/bge-m3"),
    serves=("chat", "completions", "responses", "embeddings", "models"),
)
