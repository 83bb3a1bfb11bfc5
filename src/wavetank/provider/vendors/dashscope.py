"""Alibaba Cloud Model Studio (DashScope), the endpoints that are compatible with OpenAI's.

Sources: the pages on error codes and on rate limits of alibabacloud.com/help/en/model-studio, and errors that
its users have quoted. It states no limits.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_HELP: Final = "For details, see: https://www.alibabacloud.com/help/en/model-studio/error-code"

CARD: Final = VendorCard(
    name="dashscope",
    hosts=("dashscope.aliyuncs.com", "dashscope-*.aliyuncs.com"),
    key_variables=("DASHSCOPE_API_KEY",),
    base_paths=("/compatible-mode/v1",),
    endpoint_paths={"rerank": "/compatible-api/v1/reranks"},
    error_body={
        "error": {"message": "{message}", "type": "{type}", "param": "{param}", "code": "{code}"},
        "request_id": "{number}",
    },
    errors={
        "rate-limit": (
            f"You have exceeded your current request limit. {_HELP}#rate-limit",
            "limit_requests",
            "limit_requests",
        ),
        "tokens": (
            "You exceeded your current quota, please check your plan and billing details. "
            f"{_HELP}#token-limit",
            "insufficient_quota",
            "insufficient_quota",
        ),
        "ramp": (
            "Request rate increased too quickly. To ensure system stability, please adjust your client logic "
            "to scale requests more smoothly over time.",
            "limit_burst_rate",
            "limit_burst_rate",
        ),
        "billing": (
            "Access denied, please make sure your account is in good standing.",
            "Arrearage",
            "Arrearage",
        ),
    },
    status_texts={
        401: (
            f"Incorrect API key provided. {_HELP}#apikey-error",
            "invalid_request_error",
            "invalid_api_key",
        ),
        404: (
            "The model `{model}` does not exist or you do not have access to it.",
            "invalid_request_error",
            "model_not_found",
        ),
    },
    statuses={"billing": 400},
    models=("qwen-plus", "text-embedding-v4"),
    serves=("chat", "completions", "embeddings", "rerank", "models"),
)
