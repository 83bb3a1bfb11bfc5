"""Moonshot AI (Kimi).

Sources: platform.moonshot.ai/docs, and errors that its users have quoted: they have a type and no code. It
states no limits.
"""

from __future__ import annotations

from typing import Final

from ..vendor_card import VendorCard

_ACCOUNT: Final = "Your account org-wavetank<ak-wavetank>"
_QUOTA: Final = "exceeded_current_quota_error"

CARD: Final = VendorCard(
    name="moonshot",
    hosts=("api.moonshot.ai", "api.moonshot.cn"),
    key_variables=("MOONSHOT_API_KEY",),
    statuses={"overloaded": 429},
    error_body={"error": {"message": "{message}", "type": "{type}"}},
    errors={
        "rate-limit": (
            f"{_ACCOUNT} request reached organization max RPM: {{limit}}, please try again after {{wait}} "
            "seconds",
            "rate_limit_reached_error",
        ),
        "tokens": (
            f"{_ACCOUNT} request reached organization TPM rate limit, current: {{used}}, limit: {{limit}}",
            "rate_limit_reached_error",
        ),
        "concurrent": (
            f"{_ACCOUNT} request reached organization max concurrency: {{limit}}, please try again after "
            "{wait} seconds",
            "rate_limit_reached_error",
        ),
        "quota": ("You exceeded your current quota, please check your plan and billing details", _QUOTA),
        "billing": (
            f"{_ACCOUNT} is suspended due to insufficient balance, please recharge your account or check "
            "your plan and billing details",
            _QUOTA,
        ),
        "overloaded": (
            "The engine is currently overloaded, please try again later",
            "engine_overloaded_error",
        ),
    },
    status_texts={
        401: ("Invalid Authentication", "invalid_authentication_error"),
        404: ("Not found the model {model} or Permission denied", "resource_not_found_error"),
    },
    models=("kimi-k3", "kimi-k2.6"),
    serves=("chat", "models"),
)
