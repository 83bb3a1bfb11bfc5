"""SiliconFlow.

Sources: the OpenAPI description and the page on rate limits of docs.siliconflow.cn, and errors that its users
have quoted. An error is no object of its own, and no limits are stated.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="siliconflow",
    hosts=("api.siliconflow.cn", "api.siliconflow.com"),
    key_variables=("SILICONFLOW_API_KEY",),
    statuses={"billing": 402, "quota": 402},
    response_headers={"x-siliconcloud-trace-id": "{number}"},
    error_body={"code": "{code-number}", "message": "{message}", "data": None},
    errors={
        "rate-limit": ("Request was rejected due to rate limiting. Details:RPM limit reached.", "", "50602"),
        "tokens": ("Request was rejected due to rate limiting. Details:TPM limit reached.", "", "50602"),
        "overloaded": ("Model service overloaded. Please try again later.", "", "50505"),
        "billing": ("Sorry, your account balance is insufficient", "", "30001"),
        "quota": ("Sorry, your account balance is insufficient", "", "30001"),
    },
    status_texts={401: ("Token is invalid.", "", "30014"), 404: ("404 page not found", "", "20012")},
    models=("deepseek-ai/DeepSeek-V3.2", "BAAI/bge-m3"),
    serves=("chat", "completions", "embeddings", "rerank", "models", "transcriptions", "speech"),
)
