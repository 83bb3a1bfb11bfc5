"""Together AI.

Sources: the pages on serverless rate limits and on error codes of docs.together.ai, and its SDK, whose
chat goes to a host of its own and whose types have the fields of `answer_fields` and a name in each piece
of a tool call. The only limit header says in how many seconds to come back.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="together",
    hosts=("api.together.ai", "api.together.xyz", "api-inference.together.ai"),
    key_variables=("TOGETHER_API_KEY",),
    key_aliases=("TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY"),
    statuses={"billing": 402, "quota": 402},
    limit_headers={"requests": "x-ratelimit-{field}"},
    limit_fields=("reset",),
    reset="seconds",
    errors={
        "rate-limit": ("The rate of your requests to {model} is too high.", "dynamic_request_limited"),
        "tokens": ("The rate of your tokens for {model} is too high.", "dynamic_token_limited"),
        "overloaded": ("The server is overloaded or not ready yet.", "service_unavailable"),
    },
    answer_fields={"plain": {"prompt": []}, "delta": {"role": "assistant"}},
    numbered_calls=True,
    whole_calls=True,
    reasoning="reasoning",
    models=("meta-llama/Llama-3.3-70B-Instruct-Turbo", "openai/gpt-oss-120b"),
    serves=(
        "chat",
        "completions",
        "embeddings",
        "rerank",
        "models",
        "images",
        "transcriptions",
        "translations",
        "speech",
    ),
)
