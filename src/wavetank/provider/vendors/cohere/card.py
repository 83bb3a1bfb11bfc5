"""Cohere."""

from __future__ import annotations

from typing import Final

from ...vendor_card import VendorCard

CARD: Final = VendorCard(
    name="cohere",
    hosts=("api.cohere.com", "api.cohere.ai", "production.api.cohere.ai"),
    wire="wavetank.provider.vendors.cohere.wire",
    paths=("/v2/", "/v1/chat", "/compatibility/"),
    key_variables=("CO_API_KEY", "COHERE_API_KEY"),
    url_variables={"CO_API_URL": ""},
    base_paths=("/v2", "/v1", "/compatibility/v1"),
)
