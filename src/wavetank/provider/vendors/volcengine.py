"""Volcengine Ark, and BytePlus ModelArk.

Sources: the page on error codes of volcengine.com/docs/82379, and errors that its users have quoted. It
states no limits.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_TOO_MANY: Final = "TooManyRequests"

CARD: Final = VendorCard(
    name="volcengine",
    hosts=("ark.*.volces.com", "ark.*.bytepluses.com"),
    key_variables=("ARK_API_KEY",),
    key_aliases=("VOLCENGINE_API_KEY", "VOLC_API_KEY"),
    base_paths=("/api/v3", "/api/coding/v3"),
    statuses={"overloaded": 429, "billing": 403},
    error_body={
        "error": {"code": "{code}", "message": "{message}", "param": "", "type": "{type}"},
    },
    errors={
        "rate-limit": (
            "The Requests Per Minute (RPM) limit of the associated endpoint for your account has been "
            "exceeded.",
            _TOO_MANY,
            "RateLimitExceeded.EndpointRPMExceeded",
        ),
        "tokens": (
            "The Tokens Per Minute (TPM) limit of the associated endpoint for your account has been "
            "exceeded.",
            _TOO_MANY,
            "RateLimitExceeded.EndpointTPMExceeded",
        ),
        "overloaded": (
            "The service is currently unable to handle additional requests due to server overload.",
            _TOO_MANY,
            "ServerOverloaded",
        ),
        "quota": (
            "Your account has exceeded its quota for this model.",
            _TOO_MANY,
            "QuotaExceeded",
        ),
        "billing": (
            "The request failed because your account has an overdue balance.",
            "Forbidden",
            "AccountOverdueError",
        ),
        "server": (
            "The service encountered an unexpected internal error.",
            "InternalServerError",
            "InternalServiceError",
        ),
    },
    status_texts={
        401: ("The API key in the request is missing or invalid.", "Unauthorized", "AuthenticationError"),
        404: (
            "The model or endpoint {model} does not exist or you do not have access to it.",
            "NotFound",
            "InvalidEndpointOrModel.NotFound",
        ),
    },
    models=("doubao-seed-2-0", "doubao-embedding"),
    serves=("chat", "responses", "embeddings", "models"),
)
