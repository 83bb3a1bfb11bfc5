"""Anthropic.

Source of the statuses: the error classes of its SDK (`anthropic._error_classes`).
"""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="anthropic",
    hosts=("api.anthropic.com",),
    wire="wavetank.provider.vendors.anthropic.wire",
    paths=("/v1/messages",),
    headers=("anthropic-version", "x-api-key"),
    key_header="x-api-key",
    key_variables=("ANTHROPIC_API_KEY",),
    dummy_key="sk-ant-wavetank",
    url_variables={"ANTHROPIC_BASE_URL": ""},
    statuses={"billing": 402, "overloaded": 529, "too-large": 413},
)
