"""Z.ai, formerly Zhipu AI.

Sources: docs.z.ai/api-reference, the page on error codes, and answers that its users have measured: an error
is a number, as a text, and a message; no limits are stated and no Retry-After.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

CARD: Final = VendorCard(
    name="zai",
    hosts=("api.z.ai", "open.bigmodel.cn"),
    key_variables=("ZAI_API_KEY",),
    key_aliases=("ZHIPUAI_API_KEY", "BIGMODEL_API_KEY"),
    base_paths=("/api/paas/v4", "/api/coding/paas/v4"),
    statuses={"overloaded": 429, "billing": 429},
    error_body={"error": {"code": "{code}", "message": "{message}"}},
    errors={
        "rate-limit": ("Rate limit reached for requests", "", "1302"),
        "throttle": ("High concurrency usage of this API, please reduce concurrency", "", "1303"),
        "quota": ("Daily call limit for this API reached", "", "1304"),
        "overloaded": ("The service may be temporarily overloaded, please try again later", "", "1305"),
        "billing": ("Insufficient balance or no resource package. Please recharge.", "", "1113"),
        "server": ("Internal error", "", "500"),
    },
    status_texts={
        401: ("token expired or incorrect", "", "401"),
        404: ("Unknown Model, please check the model code.", "", "1211"),
    },
    models=("glm-5.3", "embedding-3"),
    serves=("chat", "embeddings", "rerank", "models"),
)
