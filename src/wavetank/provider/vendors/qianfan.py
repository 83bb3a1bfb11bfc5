"""Baidu Qianfan, the endpoints that are compatible with OpenAI's.

Sources: cloud.baidu.com/doc/qianfan for host and path, and errors that its users have quoted.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="qianfan",
    hosts=("qianfan.baidubce.com",),
    key_variables=("QIANFAN_API_KEY",),
    base_paths=("/v2",),
    error_body={
        "error": {"code": "{code}", "message": "{message}", "type": "{type}"},
        "id": "{number}",
    },
    errors={
        "rate-limit": ("Rate limit reached for RPM", "rate_limit_exceeded", "rpm_rate_limit_exceeded"),
        "tokens": ("Rate limit reached for TPM", "rate_limit_exceeded", "tpm_rate_limit_exceeded"),
    },
    models=("ernie-5.0", "bge-large-zh"),
    serves=("chat", "embeddings", "rerank", "models"),
)
